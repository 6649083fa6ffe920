"""The example node: order of IMU samples and features, and what it publishes."""

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

rclpy = pytest.importorskip('rclpy', reason='needs ROS 2')
pytest.importorskip('nav_msgs', reason='needs nav_msgs')
pytest.importorskip('gtsam', reason='needs GTSAM')

from geometry_msgs.msg import Point32  # noqa: E402
from sensor_msgs.msg import ChannelFloat32, Imu, PointCloud  # noqa: E402
from std_msgs.msg import Bool  # noqa: E402

from superpoint_rknn.processes import reserve_domain  # noqa: E402

EXAMPLE = Path(__file__).parents[2] / 'examples' / 'vio_node.py'
# A camera that looks along x, 0.1 m before the IMU; the transform of a point is its test.
POSE = [0.0, 0.0, 1.0, 0.1, -1.0, 0.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]


class RecordingEstimator:
    """Record the calls; the body looks along y and moves along x of the world at 2 m/s."""

    def __init__(self, settings, body_from_camera):
        self.settings, self.body_from_camera = settings, body_from_camera
        self.calls = []

    def restart(self):
        self.calls.append('restart')

    def add_imu(self, time, gyro, acc):
        self.calls.append(('imu', time, gyro.tolist(), acc.tolist()))

    def add_tracks(self, time, ids, directions):
        self.calls.append(('tracks', time, ids.tolist(), directions.tolist()))
        if time < 2:
            return None
        return SimpleNamespace(
            rotation=np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1.0]]),
            position=np.array([1.0, 2.0, 3.0]),
            velocity=np.array([2.0, 0, 0]),
        )


@pytest.fixture(scope='module')
def example():
    spec = importlib.util.spec_from_file_location('vio_node', EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def start(example, monkeypatch):
    """Function that creates the node with parameters; returns it and what it publishes."""
    monkeypatch.setattr(example, 'Estimator', RecordingEstimator)
    domain, reservation = reserve_domain()
    nodes = []

    def create(**parameters):
        rules = [text for name, value in parameters.items() for text in ('-p', f'{name}:={value}')]
        rclpy.init(args=['--ros-args', *rules], domain_id=domain)
        nodes.append(example.VioNode())
        published = []
        for publisher in (nodes[0]._odometry_publisher, nodes[0]._path_publisher):
            monkeypatch.setattr(publisher, 'publish', published.append)
        return nodes[0], published

    yield create
    for node in nodes:
        node.destroy_node()
    rclpy.try_shutdown()
    reservation.close()


def imu(seconds):
    message = Imu()
    message.header.stamp.sec = seconds
    message.angular_velocity.y, message.linear_acceleration.z = 0.5, 9.81
    return message


def feature(seconds):
    """Ids 7 and 8 in the left image, 7 in the right one."""
    channels = [[7, 8, 7], [0, 0, 1], *([[0, 0, 0]] * 7)]
    message = PointCloud(
        points=[Point32(x=0.5, y=0.25, z=1.0), Point32(x=-0.5, y=0.0, z=1.0), Point32(z=1.0)],
        channels=[ChannelFloat32(values=[float(v) for v in values]) for values in channels],
    )
    message.header.stamp.sec = seconds
    return message


def test_features_wait_for_the_imu_and_only_the_left_camera_is_used(start):
    node, published = start(body_from_camera=POSE, focal=350.0)
    estimator = node._estimator
    np.testing.assert_array_equal(estimator.body_from_camera @ [0, 0, 1, 1], [1.1, 0, 0, 1])
    assert estimator.settings.focal == 350

    node._on_feature(feature(1))
    assert estimator.calls == []
    node._on_imu(imu(1))

    assert estimator.calls == [
        ('imu', 1.0, [0, 0.5, 0], [0, 0, 9.81]),
        ('tracks', 1.0, [7, 8], [[0.5, 0.25], [-0.5, 0.0]]),
    ]
    assert published == []  # not started


def test_the_velocity_is_published_in_the_frame_of_the_body(start):
    node, published = start(body_from_camera=POSE)
    node._on_imu(imu(2))
    node._on_feature(feature(2))

    odometry, path = published
    assert (odometry.header.frame_id, odometry.child_frame_id) == ('world', 'body')
    assert odometry.header.stamp.sec == 2
    place, turn = odometry.pose.pose.position, odometry.pose.pose.orientation
    assert (place.x, place.y, place.z) == (1, 2, 3)
    half = np.sqrt(0.5)  # of a turn by 90 degrees about z
    np.testing.assert_allclose([turn.x, turn.y, turn.z, turn.w], [0, 0, half, half])
    velocity = odometry.twist.twist.linear  # x of the world is to the right of the body
    np.testing.assert_allclose([velocity.x, velocity.y, velocity.z], [0, -2, 0], atol=1e-12)
    assert [pose.pose for pose in path.poses] == [odometry.pose.pose]


def test_a_restart_forgets_all(start):
    node, published = start(body_from_camera=POSE)
    node._on_imu(imu(5))
    node._on_feature(feature(5))
    node._on_feature(feature(6))
    node._on_restart(Bool(data=True))
    node._on_imu(imu(2))
    node._on_feature(feature(2))

    assert node._estimator.calls[-3:-1] == ['restart', ('imu', 2.0, [0, 0.5, 0], [0, 0, 9.81])]
    assert node._estimator.calls[-1][:2] == ('tracks', 2.0)
    assert len(published[-1].poses) == 1


def test_a_pose_of_another_size_is_refused(start):
    with pytest.raises(ValueError, match='body_from_camera: 3 numbers, expected 16'):
        start(body_from_camera=[1.0, 0.0, 0.0])
