"""The superpoint node with several cameras, in a real graph on the CPU runtime."""

import cv2
import numpy as np
import pytest
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from ros_graph import Rig, image_message


@pytest.fixture
def cameras(graph):
    """Rigs of the cameras cam0 and cam1."""
    return [Rig(graph, name=name) for name in ('cam0', 'cam1')]


def start(cameras, *program, **parameters):
    """Start one node for all cameras, and warm it up."""
    first = cameras[0]
    names = ','.join(camera.name for camera in cameras)
    process = first.graph.start(*program, cameras=f'[{names}]', **parameters)
    wait_ready(cameras)
    return process


def wait_ready(cameras):
    """As Rig.wait_ready, with all cameras seeing black at once."""
    graph = cameras[0].graph
    black = image_message(np.zeros((400, 640), np.uint8))
    for rig in cameras:
        graph.wait(rig.camera.get_subscription_count, 'the node to take images')
        rig.warm = False

    def show_black_until(condition):
        for rig in cameras:
            rig.camera.publish(black)
            rig.diagnostics.clear()
        return graph.spin(lambda: all(map(condition, cameras)), 4.0)

    graph.wait(lambda: show_black_until(lambda rig: rig.warm), 'keypoints of all cameras')
    # None waits for a partner that was lost before both ends knew each other.
    graph.wait(
        lambda: show_black_until(
            lambda rig: len(rig.diagnostics) >= 2 and rig.raw_counts()['pending'] == '0'
        ),
        'diagnostics without pending images',
    )
    for rig in cameras:
        rig.base = {k: int(v) for k, v in rig.raw_counts().items() if v.isdigit()}


def settled(rig, sent):
    """Counts once all that was sent met its fate."""
    rig.graph.spin(
        lambda: rig.counts()['received'] == sent and rig.counts()['pending'] == 0, timeout=30.0
    )
    counts = rig.counts()
    assert (counts['received'], counts['pending']) == (sent, 0), counts
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
    _, again = second.send_and_wait(photo)
    assert again.x == right.x  # the mask of all
    first.send(small)  # a size that the mask doesn't have
    assert settled(first, 2)['failed'] == 1
    assert settled(second, 2)['failed'] == 0


def test_a_flood_of_garbage_from_one_camera_leaves_the_other_served(cameras, photo):
    start(cameras)
    bad, good = cameras
    for number in range(1, 6):
        for _ in range(5):
            bad.send(photo, encoding='nonsense')
        good.send(photo)
        good.graph.wait(lambda n=number: len(good.keypoints) == n, 'keypoints')
    assert settled(good, 5)['published'] == 5
    good.graph.wait(lambda: bad.counts()['failed'] > 0, 'failed images')
    assert bad.counts()['published'] == 0


def test_a_fast_camera_leaves_a_slow_one_its_turns(cameras, photo, gate):
    start(cameras, *gate.program)
    fast, slow = cameras
    graph = fast.graph

    def arrived(*numbers):
        counts = [rig.counts() for rig in cameras]
        return [c['received'] + c['pending'] for c in counts] == [*numbers]

    gate.close()
    fast.send(photo)
    for number in (1, 2):  # each time, an image of the fast camera is under way
        gate.wait()
        fast.send(photo)
        slow.send(photo)
        graph.wait(lambda n=number: arrived(2 * n, n), 'an image of each to arrive')
        fast.send(photo)
        graph.wait(lambda n=number: arrived(2 * n + 1, n), 'one more of the fast camera')
        gate.let_one_go()
        graph.wait(lambda n=number: len(fast.keypoints) == n, 'the fast camera')
        gate.wait()
        gate.let_one_go()
        graph.wait(lambda n=number: len(slow.keypoints) == n, 'the slow camera')
    gate.open()
    counts = settled(fast, 5)
    assert (counts['published'], counts['dropped']) == (3, 2)
    assert settled(slow, 2)['published'] == 2


def stereo(cameras, image, stamps, **bad):
    """Send to each camera an image with its stamp [ms]; None: nothing."""
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


def test_a_stereo_pair_is_taken_together_or_not_at_all(cameras, photo):
    left, right = cameras
    process = start(cameras, stereo='true')
    graph = left.graph

    def both(number):
        graph.wait(lambda: len(left.keypoints) == len(right.keypoints) == number, 'both')

    stereo(cameras, photo, (1000, 1004))
    both(1)
    assert left.keypoints[0].header.frame_id == 'cam0'
    assert right.keypoints[0].header.frame_id == 'cam1'
    assert left.keypoints[0].header.stamp.nanosec == 0
    assert right.keypoints[0].header.stamp.nanosec == 4_000_000
    assert left.keypoints[0].x == right.keypoints[0].x

    def waits(rig):
        rig.diagnostics.clear()  # they may tell of images that were under way
        graph.wait(
            lambda: len(rig.diagnostics) >= 2 and rig.counts()['pending'] == 1,
            f'an image of {rig.name} to wait',
        )

    stereo(cameras, photo, (2000, 2006))  # too far apart
    waits(right)
    stereo(cameras, photo, (3000, 3000))
    both(2)
    stereo(cameras, photo, (4000, None))  # without a partner
    waits(left)
    stereo(cameras, photo, (5000, 5000))
    both(3)
    stereo(cameras, photo, (6000, 6000), cam1='nonsense')
    settled(left, 6)
    settled(right, 5)
    stereo(cameras, photo, (7000, 7000))
    both(4)
    counts = settled(left, 7)
    assert (counts['published'], counts['dropped'], counts['failed']) == (4, 3, 0)
    assert counts['unpaired'] == 2
    counts = settled(right, 6)
    assert (counts['published'], counts['dropped'], counts['failed']) == (4, 1, 1)
    assert counts['unpaired'] == 1
    assert [k.header.stamp.sec for k in left.keypoints] == [1, 3, 5, 7]
    assert '/cam1/image: image refused' in process.log.read_text()
    code, seconds = graph.interrupt(process)
    assert code == 0
    assert seconds < 2


def test_descriptors_of_a_stereo_pair_are_of_the_same_moment(cameras, photo):
    left, right = cameras
    start(cameras, stereo='true', **{'descriptors.rate': 4.0})
    second = 0

    def described():
        nonlocal second
        second += 1
        stereo(cameras, photo, (1000 * second, 1000 * second + 1))
        left.graph.wait(lambda: len(right.keypoints) == second, 'both')
        return len(left.descriptors) > 5 and len(right.descriptors) > 5

    left.graph.wait(described, 'descriptors of both')
    seconds = [[d.header.stamp.sec for d in rig.descriptors] for rig in cameras]
    begin = max(s[0] for s in seconds)  # one topic may have been heard earlier than the other
    seconds = [[s for s in of_one if s >= begin][:4] for of_one in seconds]
    assert seconds[0] == seconds[1]
    assert len(set(seconds[0])) == 4


@pytest.mark.parametrize(
    ('given', 'reason'),
    [
        ({'cameras': '[cam0, cam0]'}, "cameras: 'cam0' is there twice"),
        ({'cameras': '[/cam0]'}, "cameras: '/cam0' is no name"),
        ({'cameras': '[a, b, c]', 'stereo': 'true'}, 'stereo: 3 cameras'),
    ],
)
def test_bad_cameras_are_refused_with_the_reason(graph, given, reason):
    process = graph.start(**given)
    graph.wait(lambda: 'not configured' in process.log.read_text(), 'the refusal')
    assert reason in process.log.read_text()
    assert graph.interrupt(process)[0] == 0


def test_without_names_topics_have_no_prefix(graph):
    graph.start(cameras="['']")
    graph.wait(lambda: graph.node.count_subscribers('image'), 'the subscription')
    for topic in ('keypoints', 'descriptors', 'overlay'):
        graph.wait(lambda topic=topic: graph.node.count_publishers(topic), topic)
