"""The superpoint node in a real graph, on the CPU runtime."""

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage, Image

from superpoint_rknn.extractor import Extractor
from superpoint_rknn.runtimes.model_files import default_model
from superpoint_rknn.runtimes.open import open_runtime


@pytest.fixture(scope='module')
def extractor():
    runtime = open_runtime(default_model(None))
    yield Extractor(runtime)
    runtime.close()


def reference_descriptors(raw, quantization, x, y):
    """Dequantize the map, sample it bilinearly and normalize, point by point."""
    real = (raw.astype(np.float64) - quantization.zero_point) * quantization.scale
    _, rows, cols = real.shape
    result = []
    for px, py in zip(x.tolist(), y.tolist(), strict=True):
        cx = min(max((px + 0.5) / 8 - 0.5, 0), cols - 1)
        cy = min(max((py + 0.5) / 8 - 0.5, 0), rows - 1)
        x0, y0 = min(int(cx), cols - 2), min(int(cy), rows - 2)
        fx, fy = cx - x0, cy - y0
        value = (
            real[:, y0, x0] * (1 - fx) * (1 - fy)
            + real[:, y0, x0 + 1] * fx * (1 - fy)
            + real[:, y0 + 1, x0] * (1 - fx) * fy
            + real[:, y0 + 1, x0 + 1] * fx * fy
        )
        result.append(value / np.linalg.norm(value))
    return np.array(result)


def test_published_features_equal_those_of_the_extractor(rig, photo, extractor):
    rig.start(**{'descriptors.rate': 50.0})
    image, keypoints = rig.send_and_wait(photo)
    rig.graph.wait(lambda: rig.descriptors, 'descriptors')
    raw = extractor.new_descriptor_map()
    expected = extractor.detect(photo, raw).keypoints
    assert len(expected) > 100
    assert keypoints.header == image.header
    assert (keypoints.height, keypoints.width) == photo.shape
    assert np.array_equal(keypoints.x, expected.x)
    assert np.array_equal(keypoints.y, expected.y)
    assert np.array_equal(keypoints.score, expected.score)

    descriptors = rig.descriptors[0]
    assert descriptors.header == image.header
    assert descriptors.keypoints == keypoints
    assert descriptors.dim == 256
    assert descriptors.model == extractor.runtime.model
    expected_rows = reference_descriptors(
        raw, extractor.runtime.descriptors.quantization, expected.x, expected.y
    )
    data = np.array(descriptors.data).reshape(-1, 256)
    np.testing.assert_allclose(data, expected_rows, atol=1e-6)


def test_keypoints_are_in_pixels_of_the_camera_image(rig, photo):
    rig.start()
    twice = cv2.resize(photo, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
    _, small = rig.send_and_wait(photo)
    _, large = rig.send_and_wait(twice)
    assert (large.height, large.width) == (800, 1280)
    points = np.column_stack([small.x, small.y])[:100]
    doubled = (np.column_stack([large.x, large.y]) + 0.5) / 2 - 0.5
    distances = np.linalg.norm(points[:, None] - doubled, axis=2).min(axis=1)
    assert np.mean(distances < 1.5) > 0.9


def test_invalid_images_count_as_failed_and_the_next_image_is_processed(rig, photo):
    process = rig.start()
    rig.send(photo, encoding='nonsense')
    rig.wait_counts(failed=1)
    rig.send(photo, step=3)
    rig.wait_counts(failed=2)
    rig.send(photo, height=401)
    rig.wait_counts(failed=3)
    rig.send(photo, height=0)
    rig.wait_counts(failed=4)
    image, keypoints = rig.send_and_wait(photo)
    assert keypoints.header == image.header
    counts = rig.wait_counts(received=5, published=1, dropped=0, failed=4)
    assert counts['model'].startswith('superpoint_400x640_u8@')
    assert counts['decode_and_describe'].startswith('native (')
    log = process.log.read_text()
    assert log.count(f'decode and describe: {counts["decode_and_describe"]}') == 1
    assert '/image: image refused' in log
    assert 'nonsense' in log


def test_a_stamp_that_runs_back_causes_a_warning(rig, photo):
    process = rig.start()
    rig.send_and_wait(photo)
    message = rig.send(photo)
    rig.graph.wait(lambda: len(rig.keypoints) == 2, 'keypoints')
    message.header.stamp.sec = 1
    rig.camera.publish(message)
    rig.graph.wait(lambda: len(rig.keypoints) == 3, 'keypoints')
    assert rig.keypoints[-1].header.stamp.sec == 1
    rig.camera.publish(message)
    rig.graph.wait(lambda: len(rig.keypoints) == 4, 'keypoints')
    rig.wait_counts(stamps_back=1, stamps_repeated=1)
    assert 'header.stamp ran backwards from (2, 0) to (1, 0)' in process.log.read_text()


def test_images_that_arrive_during_an_inference_are_dropped_and_counted(rig, photo, gate):
    process = rig.start(*gate.program)
    gate.close()
    rig.send(photo)
    gate.wait()

    def dropped():
        rig.send(photo)
        rig.graph.spin(lambda: False, 0.1)
        return rig.counts()['dropped'] > 0

    rig.graph.wait(dropped, 'images to be dropped during an inference')
    gate.open()
    rig.graph.wait(
        lambda: rig.keypoints and rig.keypoints[-1].header.stamp.sec == rig.sent,
        'the last keypoints',
    )
    reports = len(rig.diagnostics)
    code, _ = rig.graph.interrupt(process)
    assert code == 0
    rig.graph.wait(lambda: len(rig.diagnostics) > reports, 'the last diagnostics')
    counts = rig.counts()
    assert counts['published'] == len(rig.keypoints) == 2
    assert counts['received'] == counts['published'] + counts['dropped']
    assert counts['lost'] in ('unknown', rig.sent - counts['received'])
    assert counts['pending'] == 0
    assert [k.header.stamp.sec for k in rig.keypoints] == [1, rig.sent]


def test_descriptors_are_published_at_their_own_rate(rig, photo):
    rig.start(**{'descriptors.rate': 2.0})
    for _ in range(200):
        rig.send_and_wait(photo)
        if len(rig.descriptors) >= 2 and len(rig.keypoints) >= 6:
            break
    assert len(rig.descriptors) < len(rig.keypoints)
    published = {(k.header.stamp.sec, tuple(k.x)) for k in rig.keypoints}
    for message in rig.descriptors:
        assert (message.header.stamp.sec, tuple(message.keypoints.x)) in published


def test_no_descriptors_at_rate_zero(rig, photo):
    rig.start(**{'descriptors.rate': 0.0})
    for _ in range(3):
        rig.send_and_wait(photo)
    rig.wait_counts(published=3, descriptors=0)
    assert rig.descriptors == []


def test_descriptors_do_not_wait_for_a_simulated_clock(rig, photo):
    rig.start(use_sim_time='true')
    rig.send_and_wait(photo)
    rig.graph.wait(lambda: rig.descriptors, 'descriptors')


def test_compressed_images(rig, photo, extractor):
    camera = rig.graph.node.create_publisher(CompressedImage, 'image/compressed', 1)
    rig.graph.start(image_transport='compressed')
    message = CompressedImage(format='png', data=cv2.imencode('.png', photo)[1].tobytes())
    message.header.stamp.sec = 1
    rig.graph.wait(lambda: rig.diagnostics, 'the node to be active')
    for _ in range(10):
        camera.publish(message)
        if rig.graph.spin(lambda: rig.keypoints, 2.0):
            break
    assert np.array_equal(rig.keypoints[0].x, extractor.detect(photo).keypoints.x)


def test_the_overlay_shows_the_keypoints(rig, photo):
    rig.start()
    overlays = rig.graph.collect(Image, 'overlay')
    rig.graph.wait(lambda: rig.graph.node.count_publishers('overlay'), 'the overlay topic')
    _, keypoints = rig.send_and_wait(photo)
    for _ in range(10):
        rig.send_and_wait(photo)
        if overlays:
            break
    overlay = np.array(overlays[0].data, np.uint8).reshape(400, 640, 3)
    changed = np.any(overlay != photo[..., None], axis=2)
    assert 1000 < changed.sum() < 0.5 * changed.size
    x, y = int(keypoints.x[0]), int(keypoints.y[0])
    assert changed[max(y - 4, 0) : y + 5, max(x - 4, 0) : x + 5].any()
    assert overlays[0].encoding == 'bgr8'
