"""Rendered sequences as bags, and their replay: every image after the tracks of the one before."""

import sys
import time

import numpy as np
import pytest

rendered_bag = pytest.importorskip('rendered_bag', reason='bags are written by rosbags')
pytest.importorskip('superpoint_rknn.msg', reason='the messages are not built')

from sensor_msgs.msg import Image, Imu  # noqa: E402

from superpoint_rknn.evaluate.rooms import camera  # noqa: E402
from superpoint_rknn.evaluate.rooms.sequences import RenderedSequence  # noqa: E402
from superpoint_rknn.msg import Keypoints  # noqa: E402
from superpoint_rknn.nodes.common.messages import nanoseconds  # noqa: E402
from superpoint_rknn.sources.bag import Images  # noqa: E402
from superpoint_rknn.sources.messages import stamp_ns  # noqa: E402
from superpoint_rknn.tracking.calibration_file import read_calibration  # noqa: E402

IMAGES = 12
RESULT_TIMEOUT = 2.0  # [s], instead of the player's 10
PLAYER = (
    'import sys\n'
    'from superpoint_rknn import cli\n'
    'from superpoint_rknn.replay import command\n'
    f'command.RESULT_TIMEOUT = {RESULT_TIMEOUT}\n'
    'sys.exit(cli.main(["replay", sys.argv[1], "--wait-for", "tracks"]))\n'
)


@pytest.fixture(scope='module')
def sequence():
    """The motion of `easy`; the images are noise."""
    rng = np.random.default_rng(0)
    return RenderedSequence('easy', rng.integers(0, 256, (IMAGES, 400, 640)).astype(np.uint8))


@pytest.fixture(scope='module')
def bag(sequence, tmp_path_factory):
    path = tmp_path_factory.mktemp('rendered') / 'bag'
    rendered_bag.write(path, sequence, 3)
    return path


class StandInTracker:
    """Answer each image of /cam0/image after a delay [s], the first `answers` ones."""

    def __init__(self, graph, delay, answers=IMAGES):
        self.images, self.imu, self.most_waiting = [], [], 0
        self._node, self._delay, self._answers = graph.node, delay, answers
        self._tracks = graph.node.create_publisher(Keypoints, '/cam0/tracks', 10)
        # The player waits for the subscription to images: it discovers the one before it first.
        graph.node.create_subscription(Imu, '/imu', self._on_imu, 1000)
        # Depth 1: an image that is sent too early replaces the one before it.
        graph.node.create_subscription(Image, '/cam0/image', self._on_image, 1)

    def _on_image(self, message):
        self.images.append(nanoseconds(message.header.stamp))
        time.sleep(self._delay)
        if len(self.images) <= self._answers:
            self._tracks.publish(Keypoints(header=message.header))

    def _on_imu(self, message):
        self.imu.append((nanoseconds(message.header.stamp), message.linear_acceleration.z))


def test_the_bag_has_images_camera_and_imu_in_the_order_of_stamps(sequence, bag):
    recorded = list(Images(bag).recorded(rendered_bag.TYPES))
    times = [message.time_ns for message in recorded]
    assert times == sorted(times)
    by_topic = {
        topic: [m.message() for m in recorded if m.topic == topic] for topic in rendered_bag.TYPES
    }
    images = by_topic[rendered_bag.IMAGE]
    assert [stamp_ns(m.header) for m in images] == sequence.stamps_ns
    for message, image in zip(images, sequence.images, strict=True):
        np.testing.assert_array_equal(message.data.reshape(400, 640), image)
    infos = by_topic[rendered_bag.CAMERA_INFO]
    assert [stamp_ns(m.header) for m in infos] == sequence.stamps_ns
    np.testing.assert_array_equal(infos[0].k.reshape(3, 3), camera.MATRIX)
    np.testing.assert_array_equal(infos[0].d, [*camera.DISTORTION, 0])
    samples, imu = sequence.imu(3), by_topic[rendered_bag.IMU]
    assert len(imu) == len(samples.times) == (0.6 + 0.2) * 200 + 1
    assert stamp_ns(imu[25].header) == sequence.stamps_ns[0] + 25_000_000
    rate, force = imu[30].angular_velocity, imu[30].linear_acceleration
    np.testing.assert_array_equal([rate.x, rate.y, rate.z], samples.gyro[30])
    np.testing.assert_array_equal([force.x, force.y, force.z], samples.accelerometer[30])


def test_the_imu_sample_of_an_image_precedes_it(sequence, bag):
    topics = [m.topic for m in Images(bag).recorded(rendered_bag.TYPES)]
    first = topics.index(rendered_bag.IMAGE)
    assert topics[:first].count(rendered_bag.IMU) == 21  # from -0.1 s to 0
    assert topics[first - 1] == rendered_bag.CAMERA_INFO


def test_the_camchain_has_the_true_calibration(tmp_path):
    path = tmp_path / 'camchain.yaml'
    rendered_bag.write_camchain(path)
    found, truth = read_calibration(path).camera_model(camera.SIZE), camera.camera_model()
    np.testing.assert_array_equal(found.matrix, truth.matrix)
    np.testing.assert_array_equal(found.coefficients, truth.coefficients)


def test_only_a_bag_is_replaced(sequence, tmp_path):
    (tmp_path / 'notes.txt').touch()
    with pytest.raises(FileExistsError, match='move it away'):
        rendered_bag.write(tmp_path, sequence, None)


def test_a_slow_tracker_receives_every_image(graph, sequence, bag):
    """The tracker takes 100 ms, twice the time between two images, and has a queue of one."""
    tracker = StandInTracker(graph, 0.1)
    process = graph.start_program(sys.executable, '-c', PLAYER, str(bag))
    graph.wait(lambda: process.poll() is not None, 'the player to end', 60)
    assert process.returncode == 0, process.log.read_text()
    assert f'{IMAGES} images replayed' in process.log.read_text()
    assert tracker.images == sequence.stamps_ns
    samples = sequence.imu(3)
    graph.wait(lambda: len(tracker.imu) >= len(samples.times), 'the last IMU sample')
    stamps, accelerations = zip(*tracker.imu, strict=True)
    assert list(stamps) == sorted(stamps)
    np.testing.assert_array_equal(accelerations, samples.accelerometer[:, 2])


def test_the_player_ends_if_the_tracker_dies(graph, sequence, bag):
    tracker = StandInTracker(graph, 0.0, answers=5)
    process = graph.start_program(sys.executable, '-c', PLAYER, str(bag))
    graph.wait(lambda: len(tracker.images) > 5, 'the image that gets no tracks', 60)
    start = time.monotonic()
    graph.wait(lambda: process.poll() is not None, 'the player to end', RESULT_TIMEOUT + 20)
    assert time.monotonic() - start > RESULT_TIMEOUT - 0.5
    assert process.returncode == 1
    expected = f'/cam0/image:5: no message stamped {sequence.stamps_ns[5]} ns on /cam0/tracks'
    assert expected in process.log.read_text()
    assert tracker.images == sequence.stamps_ns[:6]
