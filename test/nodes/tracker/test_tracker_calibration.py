"""Calibration of the tracker: from camera_info, also if it is sent once, and from files."""

import pytest
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo
from tracker_rig import TRACKER, K, TrackerRig, calibration

from superpoint_rknn.nodes.tracker.calibration import (
    CalibrationSource,
    read_calibrations,
    rectification_warning,
)

LATCHED = QoSProfile(
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
VINS = {'feature.format': 'vins_fusion'}
FILE = """\
%YAML:1.0
---
model_type: PINHOLE
image_width: 640
image_height: 400
distortion_parameters: {k1: 0, k2: 0, p1: 0, p2: 0}
projection_parameters: {fx: 250, fy: 250, cx: 319.5, cy: 199.5}
"""


def focal_length(cloud):
    """Focal length [px] by which the pixels of a `feature` message were undistorted."""
    u = cloud.channels[2].values
    index = max(range(len(u)), key=lambda i: abs(u[i] - 319.5))
    return (u[index] - 319.5) / cloud.points[index].x


def test_newest_camera_info_applies_and_a_refusal_names_the_topic():
    source = CalibrationSource('/camera_info')
    assert source.camera_model((400, 640)) is None
    assert source.error_message.startswith('/camera_info: nothing received: publish it, remap')
    source.info = calibration()
    first = source.camera_model((400, 640))
    assert first.focal == 500
    source.info = calibration(d=[0.1, 0, 0, 0, 0])
    assert source.camera_model((400, 640)).coefficients[0] == 0.1
    source.info = calibration()
    source.info.header.stamp.sec = 5
    again = source.camera_model((400, 640))
    assert source.camera_model((400, 640)) is again
    assert source.camera_model((200, 640)) is None
    assert source.error_message == (
        '/camera_info: height, width: 400, 640: the images have 200, 640; calibrate at their size'
    )
    source.info = calibration(binning_x=2, binning_y=2)
    assert source.camera_model((200, 320)).focal == 250
    rectified = [300.0, 0, 320, 0, 0, 300, 200, 0, 0, 0, 1, 0]
    source.info = calibration(r=[1.0, 0, 0, 0, 1, 0, 0, 0, 1], p=rectified)
    assert source.camera_model((400, 640), rectified=True).focal == 300
    source.info.roi.x_offset, source.info.roi.width, source.info.roi.height = 20, 600, 400
    assert source.camera_model((400, 600)).matrix[0, 2] == 299.5


def test_files_of_cameras(tmp_path):
    path = tmp_path / 'left.yaml'
    path.write_text(FILE)
    one = {'cameras': [''], '.calibration': '', 'calibration': str(path)}
    found, name = read_calibrations(one)['']
    assert (found.k[0], name) == (250, str(path))
    several = {'cameras': ['left', 'a/b'], 'calibration': '', 'a.b.calibration': ''}
    found = read_calibrations({**several, 'left.calibration': str(path)})
    assert list(found) == ['left']
    with pytest.raises(ValueError, match=rf'^calibration: {path}: one camera, but .* set left\.'):
        read_calibrations({**several, 'left.calibration': '', 'calibration': str(path)})
    with pytest.raises(ValueError, match=r'^a\.b\.calibration: /nowhere: No such file .*: give'):
        read_calibrations({**several, 'left.calibration': '', 'a.b.calibration': '/nowhere'})


def test_topics_of_rectified_images():
    for topic in ('/image_rect', '/cam0/image_rect_color', '/left/rect/image', '/rectified/image'):
        assert rectification_warning(topic, rectified=False).startswith(f'{topic}: if these')
        assert rectification_warning(topic, rectified=True) is None
    for topic in ('/image', '/direct/image_raw', '/cam0/rectangle'):
        assert rectification_warning(topic, rectified=False) is None


def test_camera_info_sent_once_before_the_tracker_starts(graph, photo):
    rig = TrackerRig(graph)
    graph.node.destroy_publisher(rig.info)
    latched = graph.node.create_publisher(CameraInfo, 'camera_info', LATCHED)
    latched.publish(calibration())
    rig.start(photo, **VINS)
    graph.wait(lambda: rig.track(photo) and rig.features, 'features')
    assert focal_length(rig.features[-1]) == pytest.approx(K[0, 0], rel=1e-4)

    graph.node.destroy_publisher(latched)
    rig.info = graph.node.create_publisher(CameraInfo, 'camera_info', 5)  # VOLATILE

    def changed():
        rig.track(photo, calibration(k=[250.0, 0, 319.5, 0, 250, 199.5, 0, 0, 1]))
        return focal_length(rig.features[-1]) == pytest.approx(250, rel=1e-4)

    graph.wait(changed, 'the calibration of the other publisher')


def test_a_camera_info_with_far_too_many_coefficients_is_not_converted():
    source = CalibrationSource('/camera_info')
    source.info = calibration(d=[0.0] * 1000)
    assert source.camera_model((400, 640)) is None
    assert source.error_message == '/camera_info: d: 1000 coefficients, expected at most 14'
    source.info = calibration()
    assert source.camera_model((400, 640)) is not None


def test_calibration_file_replaces_camera_info(graph, photo, tmp_path):
    path = tmp_path / 'camera.yaml'
    path.write_text(FILE)
    rig = TrackerRig(graph)
    rig.add_detector()
    process = graph.start(*TRACKER, calibration=path, **VINS)
    rig.warm_up(photo, calibration())
    for _ in range(3):
        rig.track(photo, calibration())
    assert focal_length(rig.features[-1]) == pytest.approx(250, rel=1e-4)
    log = process.log.read_text()
    assert log.count(f'calibration from {path}; /camera_info is ignored') == 1


def test_invalid_calibration_file_leaves_the_node_unconfigured(graph, tmp_path):
    path = tmp_path / 'camera.yaml'
    path.write_text(FILE.replace('PINHOLE', 'SCARAMUZZA'))
    process = graph.start(*TRACKER, cameras='[left]', **{'left.calibration': path})
    expected = f"not configured: left.calibration: {path}: model_type: 'SCARAMUZZA', expected one"
    graph.wait(lambda: expected in process.log.read_text(), 'the error')
    assert graph.interrupt(process)[0] == 0
