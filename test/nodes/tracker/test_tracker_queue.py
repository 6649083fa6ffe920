import threading
import time

from builtin_interfaces.msg import Time
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from superpoint_rknn.msg import Descriptors, Keypoints
from superpoint_rknn.nodes.common.messages import ReceivedImage
from superpoint_rknn.nodes.tracker.queue import IMAGES, TrackerQueue

FOREVER = 1000.0  # [s]


def stamped(kind, second):
    return kind(header=Header(stamp=Time(sec=second)))


def image(second):
    return ReceivedImage(stamped(Image, second))


def put(queue, *items):
    """Images as numbers, keypoints as 'k3', descriptors as 'd3', right images as 'r3'."""
    for item in items:
        if isinstance(item, int):
            queue.put_image(image(item), FOREVER)
        elif item[0] == 'r':
            queue.put_right(image(int(item[1:])))
        elif item[0] == 'k':
            queue.put_keypoints(stamped(Keypoints, int(item[1:])))
        else:
            queue.put_descriptors(stamped(Descriptors, int(item[1:])))


def take(queue):
    """What comes next: (second of the image, of its keypoints or None), or 'd3'."""
    item = queue.take()
    if isinstance(item, Descriptors):
        return f'd{item.header.stamp.sec}'
    keypoints = item.keypoints
    return second(item.image), keypoints and keypoints.header.stamp.sec


def second(received):
    return received and received.message.header.stamp.sec


def is_idle(queue):
    """Whether `take` waits."""
    thread = threading.Thread(target=queue.take, daemon=True)
    thread.start()
    thread.join(0.1)
    return thread.is_alive()


def test_an_image_waits_for_its_own_keypoints():
    queue = TrackerQueue()
    put(queue, 1, 'k1')
    assert take(queue) == (1, 1)
    put(queue, 'k2', 2)
    assert take(queue) == (2, 2)
    put(queue, 3)
    assert is_idle(queue)


def test_keypoints_of_a_later_image_end_the_wait():
    queue = TrackerQueue()
    put(queue, 1, 2, 3, 'k2')
    assert take(queue) == (1, None)
    assert take(queue) == (2, 2)
    assert is_idle(queue)


def test_the_wait_is_bounded():
    queue = TrackerQueue()
    start = time.perf_counter()
    queue.put_image(image(1), 0.05)
    assert take(queue) == (1, None)
    assert time.perf_counter() - start >= 0.05


def test_a_full_queue_does_not_wait_and_loses_the_oldest():
    queue = TrackerQueue()
    put(queue, *range(1, IMAGES + 1))
    gone, _ = queue.put_image(image(IMAGES + 1), FOREVER)
    assert [second(g) for g in gone] == [1]
    assert take(queue) == (2, None)


def test_descriptors_come_after_their_image_and_do_not_wait_for_later_ones():
    queue = TrackerQueue()
    put(queue, 1, 'd1')
    put(queue, 'k1')
    assert take(queue) == (1, 1)
    put(queue, 2)
    assert take(queue) == 'd1'
    assert is_idle(queue)


def test_stamps_that_run_back_do_not_end_the_wait():
    queue = TrackerQueue()
    put(queue, 9, 'k9')
    assert take(queue) == (9, 9)
    put(queue, 1, 2)  # a bag begins again
    put(queue, 'k2')
    assert take(queue) == (1, None)
    assert take(queue) == (2, 2)
    put(queue, 3)
    assert is_idle(queue)


def test_clear_tells_how_many_images_waited_and_close_ends_the_taking():
    queue = TrackerQueue()
    put(queue, 1, 2, 'd1')
    assert [second(g) for g in queue.clear()[0]] == [1, 2]
    taken = []
    thread = threading.Thread(target=lambda: taken.append(queue.take()))
    thread.start()
    queue.close()
    thread.join(10)
    assert taken == [None]


def test_without_a_detector_nothing_is_waited_for():
    queue = TrackerQueue()
    queue.put_image(image(1), FOREVER, expects_keypoints=False)
    assert take(queue) == (1, None)


def take_pair(queue):
    item = queue.take()
    return second(item.image), item.keypoints is not None, second(item.right)


def stereo_queue():
    return TrackerQueue(tolerance=0)


def test_an_image_waits_for_its_keypoints_and_the_right_image():
    queue = stereo_queue()
    put(queue, 1, 'k1')
    assert is_idle(queue)
    queue = stereo_queue()
    put(queue, 1, 'r1')
    assert is_idle(queue)
    queue = stereo_queue()
    put(queue, 'r1', 1, 'k1', 2, 'k2', 'r2')
    assert take_pair(queue) == (1, True, 1)
    assert take_pair(queue) == (2, True, 2)


def test_an_image_is_alone_once_the_right_camera_is_past_it():
    queue = stereo_queue()
    put(queue, 1, 'k1', 'r2', 2, 'k2')
    assert take_pair(queue) == (1, True, None)
    assert take_pair(queue) == (2, True, 2)


def test_the_wait_for_the_right_image_is_bounded_and_one_that_comes_later_gives_way():
    queue = stereo_queue()
    start = time.perf_counter()
    queue.put_image(image(1), 0.05, expects_keypoints=False)
    assert take_pair(queue) == (1, False, None)
    assert time.perf_counter() - start >= 0.05
    assert [second(g) for g in queue.put_right(image(1))] == [1]


def test_right_images_without_a_left_one_give_way():
    queue = stereo_queue()
    put(queue, 'r1')
    lefts, rights = queue.put_image(image(2), FOREVER)
    assert (lefts, [second(g) for g in rights]) == ([], [1])
    assert queue.put_right(image(2)) == []
    lefts, rights = queue.clear()
    assert ([second(g) for g in lefts], [second(g) for g in rights]) == ([2], [2])


def test_what_leaves_a_full_queue_takes_its_right_image_with_it():
    queue = stereo_queue()
    put(queue, 1, 'r1', *range(2, IMAGES + 1))
    lefts, rights = queue.put_image(image(IMAGES + 1), FOREVER)
    assert ([second(g) for g in lefts], [second(g) for g in rights]) == ([1], [1])


def test_keypoints_that_come_after_their_image_has_left_are_told_of_once():
    queue = TrackerQueue()
    assert queue.put_keypoints(stamped(Keypoints, 1)) is None  # its image is yet to come
    put(queue, 1)
    assert take(queue) == (1, 1)
    queue.put_image(image(2), 0.0)
    assert take(queue) == (2, None)
    assert queue.put_keypoints(stamped(Keypoints, 2)) > 0
    assert queue.put_keypoints(stamped(Keypoints, 2)) is None
    queue.put_image(image(3), 0.0, expects_keypoints=False)
    assert take(queue) == (3, None)
    assert queue.put_keypoints(stamped(Keypoints, 3)) is None


def test_a_repeated_recording_has_no_late_keypoints():
    queue = TrackerQueue()
    for second in (1, 2):
        queue.put_image(image(second), 0.0)
        assert take(queue) == (second, None)
    put(queue, 1)
    assert queue.put_keypoints(stamped(Keypoints, 1)) is None
    assert take(queue) == (1, 1)
