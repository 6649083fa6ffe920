import threading
import time

from builtin_interfaces.msg import Time
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from superpoint_rknn.msg import Descriptors, Keypoints
from superpoint_rknn.nodes.tracker_queue import IMAGES, TrackerQueue

FOREVER = 1000.0  # [s]


def stamped(kind, second):
    return kind(header=Header(stamp=Time(sec=second)))


def put(queue, *items):
    """Images as numbers, keypoints as 'k3', descriptors as 'd3'."""
    for item in items:
        if isinstance(item, int):
            queue.put_image(stamped(Image, item), FOREVER)
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
    return item.message.header.stamp.sec, keypoints and keypoints.header.stamp.sec


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
    queue.put_image(stamped(Image, 1), 0.05)
    assert take(queue) == (1, None)
    assert time.perf_counter() - start >= 0.05


def test_a_full_queue_does_not_wait_and_loses_the_oldest():
    queue = TrackerQueue()
    put(queue, *range(1, IMAGES + 1))
    gone = queue.put_image(stamped(Image, IMAGES + 1), FOREVER)
    assert gone.message.header.stamp.sec == 1
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
    assert queue.clear() == 2
    taken = []
    thread = threading.Thread(target=lambda: taken.append(queue.take()))
    thread.start()
    queue.close()
    thread.join(10)
    assert taken == [None]
