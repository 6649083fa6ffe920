import threading
from collections import Counter

from superpoint_rknn.nodes.superpoint.mailbox import Mailbox


def test_a_newer_item_replaces_one_that_waits_and_put_returns_it():
    mailbox = Mailbox()
    assert mailbox.put('cam', 'old') is None
    assert mailbox.put('cam', 'new') == 'old'
    assert mailbox.take() == ('cam', 'new')


def test_take_blocks_until_an_item_arrives():
    mailbox = Mailbox()
    taken = []
    taker = threading.Thread(target=lambda: taken.append(mailbox.take()))
    taker.start()
    mailbox.put('cam', 1)
    taker.join(5)
    assert taken == [('cam', 1)]


def test_an_item_is_done_at_the_next_take():
    mailbox = Mailbox()
    assert mailbox.wait_done(0)
    mailbox.put('cam', 1)
    mailbox.take()
    assert not mailbox.wait_done(0.01)
    taker = threading.Thread(target=mailbox.take)
    taker.start()
    assert mailbox.wait_done(5)
    mailbox.close()
    taker.join(5)
    assert not taker.is_alive()


def test_a_closed_mailbox_refuses_items_and_ends_take():
    mailbox = Mailbox()
    mailbox.put('cam', 'waiting')
    mailbox.close()
    assert mailbox.clear() == [('cam', 'waiting')]
    assert mailbox.put('cam', 'late') == 'late'
    assert mailbox.take() is None


def test_clear_returns_waiting_items():
    mailbox = Mailbox()
    mailbox.put('a', 1)
    mailbox.put('b', 2)
    assert mailbox.clear() == [('a', 1), ('b', 2)]
    mailbox.put('b', 3)
    assert mailbox.take() == ('b', 3)


def test_a_fast_camera_does_not_starve_a_slow_one():
    mailbox = Mailbox()
    dropped = Counter()
    taken = []

    def put(camera, number):
        if mailbox.put(camera, number) is not None:
            dropped[camera] += 1

    put('fast', 0)
    for number in range(12):  # for one taken, three arrive of one camera and one of the other
        put('fast', 3 * number)
        put('slow', number)
        put('fast', 3 * number + 1)
        put('fast', 3 * number + 2)
        taken.append(mailbox.take())
    assert [camera for camera, _ in taken] == ['fast', 'slow'] * 6
    assert [number for camera, number in taken if camera == 'fast'] == [2, 8, 14, 20, 26, 32]
    assert [number for camera, number in taken if camera == 'slow'] == [1, 3, 5, 7, 9, 11]
    assert dropped == {'fast': 37 - 6 - 1, 'slow': 12 - 6}


def test_the_camera_served_longest_ago_is_next():
    mailbox = Mailbox()
    for camera in 'abc':
        mailbox.put(camera, camera)
    assert mailbox.take() == ('a', 'a')
    mailbox.put('a', 'a')
    assert mailbox.take() == ('b', 'b')
    assert mailbox.take() == ('c', 'c')
    assert mailbox.take() == ('a', 'a')
    mailbox.put('b', 'b')  # c has stopped
    mailbox.put('a', 'a')
    assert mailbox.take() == ('b', 'b')
    mailbox.put('d', 'd')  # never served
    assert mailbox.take() == ('d', 'd')
    assert mailbox.take() == ('a', 'a')
