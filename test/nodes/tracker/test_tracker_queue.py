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
    """Put items, by stamp: images 3, keypoints 'k3', descriptors 'd3', right images 'r3'."""
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
    """Take the next item: (second of the image, second of its keypoints or None), or 'd3'."""
    item = queue.take()
    if isinstance(item, Descriptors):
        return f'd{item.header.stamp.sec}'
    keypoints = item.keypoints
    return second(item.image), keypoints and keypoints.header.stamp.sec


def second(received):
    return received and received.message.header.stamp.sec


def is_blocked(queue):
    """True if `take` blocks."""
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
    assert is_blocked(queue)


def test_keypoints_of_a_later_image_end_the_wait():
    queue = TrackerQueue()
    put(queue, 1, 2, 3, 'k2')
    assert take(queue) == (1, None)
    assert take(queue) == (2, 2)
    assert is_blocked(queue)


def test_the_wait_for_keypoints_has_a_timeout():
    queue = TrackerQueue()
    start = time.perf_counter()
    queue.put_image(image(1), 0.05)
    assert take(queue) == (1, None)
    assert time.perf_counter() - start >= 0.05


def test_a_full_queue_drops_the_oldest_image_and_does_not_wait():
    queue = TrackerQueue()
    put(queue, *range(1, IMAGES + 1))
    dropped, _ = queue.put_image(image(IMAGES + 1), FOREVER)
    assert [second(i) for i in dropped] == [1]
    assert take(queue) == (2, None)


def test_descriptors_follow_their_image_and_do_not_wait_for_later_ones():
    queue = TrackerQueue()
    put(queue, 1, 'd1')
    put(queue, 'k1')
    assert take(queue) == (1, 1)
    put(queue, 2)
    assert take(queue) == 'd1'
    assert is_blocked(queue)


def test_stamps_that_run_back_do_not_end_the_wait():
    queue = TrackerQueue()
    put(queue, 9, 'k9')
    assert take(queue) == (9, 9)
    put(queue, 1, 2)  # a bag starts again
    put(queue, 'k2')
    assert take(queue) == (1, None)
    assert take(queue) == (2, 2)
    put(queue, 3)
    assert is_blocked(queue)


def test_keypoints_of_a_late_image_discard_nothing():
    queue = TrackerQueue()
    put(queue, 5, 'k5')
    put(queue, 'k4')  # one second before: the image itself is dropped before the queue
    assert take(queue) == (5, 5)
    put(queue, 6, 'k7', 'k6', 7)
    assert take(queue) == (6, 6)
    assert take(queue) == (7, 7)
    put(queue, 8)
    assert is_blocked(queue)


def test_clear_returns_waiting_images_and_close_ends_take():
    queue = TrackerQueue()
    put(queue, 1, 2, 'd1')
    assert [second(i) for i in queue.clear()[0]] == [1, 2]
    taken = []
    thread = threading.Thread(target=lambda: taken.append(queue.take()))
    thread.start()
    queue.close()
    thread.join(10)
    assert taken == [None]


def test_images_do_not_wait_without_a_detector():
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
    assert is_blocked(queue)
    queue = stereo_queue()
    put(queue, 1, 'r1')
    assert is_blocked(queue)
    queue = stereo_queue()
    put(queue, 'r1', 1, 'k1', 2, 'k2', 'r2')
    assert take_pair(queue) == (1, True, 1)
    assert take_pair(queue) == (2, True, 2)


def test_an_image_does_not_wait_once_the_right_camera_is_past_its_stamp():
    queue = stereo_queue()
    put(queue, 1, 'k1', 'r2', 2, 'k2')
    assert take_pair(queue) == (1, True, None)
    assert take_pair(queue) == (2, True, 2)


def test_the_wait_for_the_right_image_has_a_timeout_and_a_late_one_is_dropped():
    queue = stereo_queue()
    start = time.perf_counter()
    queue.put_image(image(1), 0.05, expects_keypoints=False)
    assert take_pair(queue) == (1, False, None)
    assert time.perf_counter() - start >= 0.05
    assert [second(i) for i in queue.put_right(image(1))] == [1]


def test_right_images_without_a_left_one_are_dropped():
    queue = stereo_queue()
    put(queue, 'r1')
    lefts, rights = queue.put_image(image(2), FOREVER)
    assert (lefts, [second(i) for i in rights]) == ([], [1])
    assert queue.put_right(image(2)) == []
    lefts, rights = queue.clear()
    assert ([second(i) for i in lefts], [second(i) for i in rights]) == ([2], [2])


def test_a_full_queue_drops_the_oldest_image_with_its_right_image():
    queue = stereo_queue()
    put(queue, 1, 'r1', *range(2, IMAGES + 1))
    lefts, rights = queue.put_image(image(IMAGES + 1), FOREVER)
    assert ([second(i) for i in lefts], [second(i) for i in rights]) == ([1], [1])


def test_an_image_that_is_alone_does_not_wait_for_a_right_one():
    queue = stereo_queue()
    put(queue, 'r1')
    lefts, rights = queue.put_image(image(2), FOREVER, is_alone=True)
    assert (lefts, [second(i) for i in rights]) == ([], [1])
    put(queue, 'k2')
    assert take_pair(queue) == (2, True, None)
    put(queue, 3, 'k3')
    queue.put_image(image(4), FOREVER, is_alone=True)  # ends the wait of 3, too
    assert take_pair(queue) == (3, True, None)


def test_an_image_of_the_right_camera_alone_is_dropped_as_such():
    queue = stereo_queue()
    for number in range(1, IMAGES + 1):
        queue.put_image(image(number), FOREVER, camera=1, is_alone=True)
    lefts, rights = queue.put_image(image(IMAGES + 1), FOREVER)
    assert (lefts, [second(i) for i in rights]) == ([], [1])
    assert queue.take().camera == 1
    lefts, rights = queue.clear()
    assert [second(i) for i in lefts] == [IMAGES + 1]
    assert [second(i) for i in rights] == list(range(3, IMAGES + 1))


def put_keypoints(queue, second):
    return queue.put_keypoints(stamped(Keypoints, second))


def test_late_keypoints_are_taken_once_before_descriptors():
    queue = TrackerQueue()
    assert not put_keypoints(queue, 1)  # its image has not arrived yet
    put(queue, 1)
    assert take(queue) == (1, 1)
    queue.put_image(image(2), 0.0)
    assert take(queue) == (2, None)
    put(queue, 'd2')
    assert put_keypoints(queue, 2)
    late = queue.take()
    assert late.message.header.stamp.sec == 2
    assert late.delay > 0
    assert take(queue) == 'd2'
    assert not put_keypoints(queue, 2)
    queue.put_image(image(3), 0.0, expects_keypoints=False)
    assert take(queue) == (3, None)
    assert not put_keypoints(queue, 3)
    assert is_blocked(queue)


def test_images_come_before_late_keypoints_and_only_the_newest_wait():
    queue = TrackerQueue()
    for second in (1, 2, 3):
        queue.put_image(image(second), 0.0)
        assert take(queue) == (second, None)
    assert put_keypoints(queue, 1)
    assert put_keypoints(queue, 2)
    queue.put_image(image(4), 0.0)
    assert take(queue) == (4, None)
    assert queue.take().message.header.stamp.sec == 2
    assert is_blocked(queue)


def test_a_repeated_recording_has_no_late_keypoints():
    queue = TrackerQueue()
    for second in (1, 2, 3, 4):
        queue.put_image(image(second), 0.0)
        assert take(queue) == (second, None)
    assert put_keypoints(queue, 4)
    put(queue, 1)
    assert not put_keypoints(queue, 1)
    assert take(queue) == (1, 1)
    assert is_blocked(queue)
