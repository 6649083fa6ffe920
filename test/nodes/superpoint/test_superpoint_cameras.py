"""The superpoint node with several cameras, in a real graph on the CPU runtime."""

import cv2
import numpy as np
import pytest
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from ros_graph import TIMEOUT, Rig, image_message


@pytest.fixture
def cameras(graph):
    """Rigs of the cameras cam0 and cam1."""
    return [Rig(graph, name=name) for name in ('cam0', 'cam1')]


def start(cameras, *program, **parameters):
    """Start one node for all cameras, and warm it up."""
    first = cameras[0]
    names = ','.join(camera.name for camera in cameras)
    parameters = {'npu.timeout': TIMEOUT, **parameters}
    process = first.graph.start(*program, cameras=f'[{names}]', **parameters)
    wait_ready(cameras)
    return process


def wait_ready(cameras):
    """Like Rig.wait_ready; all cameras publish black images."""
    graph = cameras[0].graph
    black = image_message(np.zeros((400, 640), np.uint8))
    patience = 4.0  # [s]
    for rig in cameras:
        graph.wait(rig.camera.get_subscription_count, 'the node to subscribe to images')
        rig.warm = False

    def publish_black_until(condition):
        nonlocal patience
        patience *= 1.5  # a busy machine may take seconds to process two images
        # Beyond sync_tolerance: else, after a lost image, each one is paired with the next.
        black.header.stamp.nanosec += 20_000_000
        for rig in cameras:
            rig.camera.publish(black)
            rig.diagnostics.clear()
        return graph.spin(lambda: all(map(condition, cameras)), patience)

    graph.wait(lambda: publish_black_until(lambda rig: rig.warm), 'keypoints of all cameras')
    # No image may wait for a partner that was lost before all topics were connected.
    graph.wait(
        lambda: publish_black_until(
            lambda rig: len(rig.diagnostics) >= 2 and rig.raw_counts()['pending'] == '0'
        ),
        'diagnostics without pending images',
    )
    for rig in cameras:
        rig.set_base()


def final_counts(rig, sent):
    """Wait until the outcome of all sent images is known; return the counts."""
    counts = rig.wait_counts(received=sent, pending=0)
    assert counts['received'] == counts['published'] + counts['dropped'] + counts['failed']
    return counts


def test_each_camera_has_its_own_topics_masks_and_status(cameras, photo, tmp_path):
    mask = np.zeros(photo.shape, np.uint8)
    mask[:, 320:] = 255
    cv2.imwrite(str(tmp_path / 'right.png'), mask)
    cv2.imwrite(str(tmp_path / 'left.png'), 255 - mask)
    start(
        cameras,
        mask=tmp_path / 'right.png',
        **{'cam1.mask': tmp_path / 'left.png', 'descriptors.rate': 20.0},
    )
    first, second = cameras
    small = np.ascontiguousarray(photo[::2, ::2])
    image, left = second.send_and_wait(photo)
    _, right = first.send_and_wait(photo)
    assert left.header == image.header
    assert len(left.x) > 50
    assert len(right.x) > 50
    assert max(left.x) < 320 <= min(right.x) + 0.5
    graph = first.graph
    graph.wait(lambda: first.descriptors and second.descriptors, 'descriptors of both')
    assert first.descriptors[0].keypoints == right
    assert second.descriptors[0].keypoints == left

    parameter = Parameter(
        name='cam1.mask', value=ParameterValue(type=ParameterType.PARAMETER_STRING)
    )
    request = SetParameters.Request(parameters=[parameter])
    result = graph.call(SetParameters, 'superpoint/set_parameters', request).results[0]
    assert result.successful
    # The common mask applies once it is read.
    graph.wait(lambda: second.send_and_wait(photo)[1].x == right.x, 'the common mask')
    first.send(small)  # not the size of the mask
    assert final_counts(first, 2)['failed'] == 1
    assert final_counts(second, second.sent)['failed'] == 0


def test_invalid_images_of_one_camera_do_not_block_the_other(cameras, photo):
    start(cameras)
    bad, good = cameras
    for number in range(1, 6):
        for _ in range(5):
            bad.send(photo, encoding='nonsense')
        good.send(photo)
        good.graph.wait(lambda n=number: len(good.keypoints) == n, 'keypoints')
    assert final_counts(good, 5)['published'] == 5
    good.graph.wait(lambda: bad.counts()['failed'] > 0, 'failed images')
    assert bad.counts()['published'] == 0


def test_a_fast_camera_does_not_starve_a_slow_one(cameras, photo, gate):
    start(cameras, *gate.program)
    fast, slow = cameras
    graph = fast.graph

    def arrived(*numbers):
        counts = [rig.counts() for rig in cameras]
        return [c['received'] + c['pending'] for c in counts] == [*numbers]

    gate.close()
    fast.send(photo)
    for number in (1, 2):  # each time, the inference of an image of the fast camera is blocked
        gate.wait()
        fast.send(photo)
        slow.send(photo)
        graph.wait(lambda n=number: arrived(2 * n, n), 'an image of each to arrive')
        fast.send(photo)
        graph.wait(lambda n=number: arrived(2 * n + 1, n), 'one more of the fast camera')
        gate.release_one()
        graph.wait(lambda n=number: len(fast.keypoints) == n, 'the fast camera')
        gate.wait()
        gate.release_one()
        graph.wait(lambda n=number: len(slow.keypoints) == n, 'the slow camera')
    gate.open()
    counts = final_counts(fast, 5)
    assert (counts['published'], counts['dropped']) == (3, 2)
    assert final_counts(slow, 2)['published'] == 2


def publish_pair(cameras, image, stamps, **bad):
    """Publish an image of each camera with its stamp [ms]; None: no image."""
    for rig, stamp in zip(cameras, stamps, strict=True):
        if stamp is None:
            continue
        message = image_message(image)
        message.header.stamp.sec, ms = divmod(stamp, 1000)
        message.header.stamp.nanosec = ms * 10**6
        message.header.frame_id = rig.name
        if rig.name in bad:
            message.encoding = bad[rig.name]
        rig.camera.publish(message)


def publish_pairs_until(cameras, image, condition, left, right, what):
    """
    Publish ten stereo pairs a second until `condition()` is true.

    left, right: added to the stamp of a pair [ms]; None: no image. what: is waited for.
    """

    def publish():
        cameras[0].sent += 1
        stamp = 1000 + 100 * cameras[0].sent
        stamps = [None if added is None else stamp + added for added in (left, right)]
        publish_pair(cameras, image, stamps)
        return cameras[0].graph.spin(condition, 0.1)

    cameras[0].graph.wait(publish, what)


def test_both_images_of_a_stereo_pair_are_processed_or_neither(cameras, photo):
    left, right = cameras
    process = start(cameras, stereo='true')
    graph = left.graph

    def both(number):
        graph.wait(lambda: len(left.keypoints) == len(right.keypoints) == number, 'both')

    publish_pair(cameras, photo, (1000, 1004))
    both(1)
    assert left.keypoints[0].header.frame_id == 'cam0'
    assert right.keypoints[0].header.frame_id == 'cam1'
    assert left.keypoints[0].header.stamp.nanosec == 0
    assert right.keypoints[0].header.stamp.nanosec == 4_000_000
    assert left.keypoints[0].x == right.keypoints[0].x

    def waits(rig):
        rig.diagnostics.clear()  # they may count images that were being processed
        graph.wait(
            lambda: len(rig.diagnostics) >= 2 and rig.counts()['pending'] == 1,
            f'an image of {rig.name} to wait',
        )

    publish_pair(cameras, photo, (2000, 2006))  # too far apart
    waits(right)
    publish_pair(cameras, photo, (3000, 3000))
    both(2)
    publish_pair(cameras, photo, (4000, None))  # without a partner
    waits(left)
    publish_pair(cameras, photo, (5000, 5000))
    both(3)
    publish_pair(cameras, photo, (6000, 6000), cam1='nonsense')
    final_counts(left, 6)
    final_counts(right, 5)
    publish_pair(cameras, photo, (7000, 7000))
    both(4)
    counts = final_counts(left, 7)
    assert (counts['published'], counts['dropped'], counts['failed']) == (4, 3, 0)
    assert counts['unpaired'] == 2
    counts = final_counts(right, 6)
    assert (counts['published'], counts['dropped'], counts['failed']) == (4, 1, 1)
    assert counts['unpaired'] == 1
    assert [k.header.stamp.sec for k in left.keypoints] == [1, 3, 5, 7]
    assert '/cam1/image: image refused' in process.log.read_text()
    code, seconds = graph.interrupt(process)
    assert code == 0
    assert seconds < 2


def test_stamps_of_a_stereo_pair_that_differ_too_much_are_told_once(cameras, photo):
    process = start(cameras, stereo='true')

    def logged():
        return process.log.read_text().count('no stereo pairs')

    def statuses():
        messages = cameras[0].diagnostics
        return [s.message for m in messages for s in m.status if 'no pair' in s.message]

    publish_pairs_until(
        cameras, photo, lambda: len(statuses()) >= 4, 0, 8, 'two warnings of each camera'
    )
    assert 'stamps differ by 8 ms (cam1 is later), sync_tolerance is 5 ms' in statuses()[-1]
    assert logged() == 1
    publish_pairs_until(cameras, photo, lambda: logged() == 2, 0, -20, 'another line of the log')
    assert 'stamps differ by 20 ms (cam0 is later)' in process.log.read_text()


@pytest.mark.parametrize('fallback', [False, True])
def test_one_silent_camera_of_a_stereo_pair(cameras, photo, fallback):
    process = start(cameras, stereo='true', mono_fallback=fallback, **{'descriptors.rate': 20.0})
    left, right = cameras
    rest = 'are processed alone' if fallback else 'wait for them; with mono_fallback they'
    text = f'those of /cam1/image {rest}'
    line = 'images of both /cam0/image and /cam1/image again'

    def has_logged(text):
        return text in process.log.read_text()

    def arrived():
        """Number of images of the right camera that have reached the node."""
        return right.counts()['received'] + right.counts()['pending']

    def in_diagnostics():
        return any(text in s.message for m in left.diagnostics for s in m.status)

    publish_pairs_until(cameras, photo, lambda: has_logged(text), None, 0, 'the warning')
    assert has_logged('no images of /cam0/image for')
    publish_pairs_until(cameras, photo, in_diagnostics, None, 0, 'the warning in /diagnostics')
    if fallback:
        publish_pairs_until(
            cameras, photo, lambda: right.keypoints and right.descriptors, None, 0, 'features'
        )
    else:
        before = arrived()
        publish_pairs_until(cameras, photo, lambda: arrived() > before + 1, None, 0, 'images')
        assert right.counts()['published'] == 0
    publish_pairs_until(cameras, photo, lambda: has_logged(line), 0, 0, 'images of both')
    left.graph.wait(lambda: left.keypoints, 'keypoints of both')


def test_descriptors_of_a_stereo_pair_are_of_the_same_images(cameras, photo):
    left, right = cameras
    start(cameras, stereo='true', **{'descriptors.rate': 4.0})
    second = 0

    def described():
        nonlocal second
        second += 1
        publish_pair(cameras, photo, (1000 * second, 1000 * second + 1))
        left.graph.wait(lambda: len(right.keypoints) == second, 'both')
        return len(left.descriptors) > 5 and len(right.descriptors) > 5

    left.graph.wait(described, 'descriptors of both')
    seconds = [[d.header.stamp.sec for d in rig.descriptors] for rig in cameras]
    begin = max(s[0] for s in seconds)  # one topic may have been connected earlier
    seconds = [[s for s in of_one if s >= begin][:4] for of_one in seconds]
    assert seconds[0] == seconds[1]
    assert len(set(seconds[0])) == 4


@pytest.mark.parametrize(
    ('given', 'reason'),
    [
        ({'cameras': '[cam0, cam0]'}, "cameras: 'cam0' is listed twice"),
        ({'cameras': '[/cam0]'}, "cameras: '/cam0' is not a valid name"),
        ({'cameras': '[a, b, c]', 'stereo': 'true'}, 'stereo: 3 cameras'),
    ],
)
def test_invalid_cameras_leave_the_node_unconfigured(graph, given, reason):
    process = graph.start(**given)
    graph.wait(lambda: 'not configured' in process.log.read_text(), 'the error')
    assert reason in process.log.read_text()
    assert graph.interrupt(process)[0] == 0


def test_topics_of_a_camera_without_a_name_have_no_prefix(graph):
    graph.start(cameras="['']")
    graph.wait(lambda: graph.node.count_subscribers('image'), 'the subscription')
    for topic in ('keypoints', 'descriptors', 'overlay'):
        graph.wait(lambda topic=topic: graph.node.count_publishers(topic), topic)
