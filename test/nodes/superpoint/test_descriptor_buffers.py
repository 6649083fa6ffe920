import threading

import numpy as np
import pytest

from superpoint_rknn.extractor import Detection
from superpoint_rknn.features.keypoints import Keypoints
from superpoint_rknn.nodes.superpoint.descriptor_buffers import (
    DescriptorBuffers,
    PendingDescriptors,
)


def make_buffers():
    return [np.zeros((1, 1, 1), np.uint8) for _ in range(3)]


def pending(raw):
    empty = np.empty(0, np.float32)
    points = Keypoints(empty, empty, empty)
    return PendingDescriptors(Detection(points, points, (8, 8), raw), None, None)


def fill(buffers, value):
    raw = buffers.writable()
    raw[:] = value
    buffers.complete(pending(raw))


def value_of(item):
    return int(item.detection.raw[0, 0, 0])


def test_the_newest_buffer_is_taken_once():
    buffers = DescriptorBuffers(make_buffers())
    assert buffers.take_newest() is None
    fill(buffers, 1)
    fill(buffers, 2)
    assert value_of(buffers.take_newest()) == 2
    assert buffers.take_newest() is None


def test_a_buffer_being_read_is_not_overwritten():
    buffers = DescriptorBuffers(make_buffers())
    fill(buffers, 1)
    reading = buffers.take_newest()
    for value in range(2, 20):
        fill(buffers, value)
    assert value_of(reading) == 1
    assert value_of(buffers.take_newest()) == 19


def test_an_incomplete_buffer_is_reused():
    buffers = DescriptorBuffers(make_buffers())
    buffers.writable()[:] = 7  # the inference failed: never completed
    assert buffers.take_newest() is None
    fill(buffers, 8)
    assert value_of(buffers.take_newest()) == 8


def test_the_reader_never_gets_a_buffer_being_written():
    buffers = DescriptorBuffers([np.zeros((256, 5, 8), np.uint8) for _ in range(3)])
    partly_written = []
    finished = threading.Event()

    def read():
        while not finished.is_set():
            item = buffers.take_newest()
            if item is not None:
                values = np.unique(item.detection.raw)
                if len(values) != 1:
                    partly_written.append(values)

    reader = threading.Thread(target=read)
    reader.start()
    for i in range(3000):
        fill(buffers, i % 251)
    finished.set()
    reader.join()
    assert partly_written == []


def test_any_other_number_of_maps_raises():
    with pytest.raises(ValueError, match='maps: 2, expected three'):
        DescriptorBuffers(make_buffers()[:2])
