"""No frame allocates a megabyte, from the message's bytes to keypoints and descriptors."""

import tracemalloc

import numpy as np
import pytest

from superpoint_rknn.bench.recordings import RecordedRuntime, Recording
from superpoint_rknn.bench.steps import encoded
from superpoint_rknn.extractor import Extractor
from superpoint_rknn.features.image import to_grey
from superpoint_rknn.features.quantization import Quantization

MEGABYTE = 2**20


@pytest.fixture(scope='module')
def full_size():
    """Random outputs of a 400x640 network with more candidates than keypoints, and 1 MB maps."""
    rng = np.random.default_rng(4)
    logits = rng.normal(-2, 1, (2, 65, 50, 80)).astype(np.float32)
    logits[:, 64] = 5
    np.put_along_axis(
        logits, rng.integers(0, 64, (2, 1, 50, 80)), rng.normal(5, 2, (2, 1, 50, 80)), 1
    )
    raw = rng.integers(0, 256, (2, 256, 50, 80), np.uint8)
    images = rng.integers(0, 256, (2, 400, 640), np.uint8)
    return Recording(images, logits, raw, Quantization(0.004, 125, np.uint8), 'noise@00000000')


def peak_of(call):
    """Peak of the bytes that a call allocates."""
    call()  # the first call may allocate buffers for the others
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_tracemalloc_counts_numpys_allocations():
    assert peak_of(lambda: np.empty(MEGABYTE, np.uint8)) >= MEGABYTE


def test_keypoints_of_a_frame(full_size):
    extractor = Extractor(RecordedRuntime(full_size))
    raw, data = extractor.new_descriptor_map(), encoded(full_size.images[0], 'mono8')

    def frame():
        detection = extractor.detect(to_grey(data, 400, 640, 640, 'mono8'), raw)
        assert len(detection.keypoints) == 500

    assert peak_of(frame) < MEGABYTE / 2


def test_descriptors_of_a_frame(full_size):
    extractor = Extractor(RecordedRuntime(full_size))
    detection = extractor.detect(full_size.images[0], extractor.new_descriptor_map())
    result = 500 * 256 * 4  # [bytes] owned by the caller
    assert peak_of(lambda: extractor.describe(detection)) < result + MEGABYTE / 4
