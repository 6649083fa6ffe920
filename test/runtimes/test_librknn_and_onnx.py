"""CPU and NPU runtimes give the same keypoints and descriptors for the same images."""

import cv2
import numpy as np
import pytest

pytest.importorskip('onnxruntime')

from superpoint_rknn.extractor import Extractor
from superpoint_rknn.runtimes.model_files import default_model
from superpoint_rknn.runtimes.onnx.runtime import OnnxRuntime
from superpoint_rknn.runtimes.rknn.runtime import LibrknnRuntime


@pytest.fixture(scope='module')
def cpu():
    runtime = OnnxRuntime(default_model(None))
    yield runtime
    runtime.close()


@pytest.fixture(params=['astronaut.png', 'motorcycle_left.png'])
def image(request, photographs):
    return cv2.imread(str(photographs / request.param), cv2.IMREAD_GRAYSCALE)


@pytest.mark.parametrize('zero_copy', [False, True], ids=['copied', 'shared'])
def test_cpu_and_npu_agree(standin, model, cpu, image, zero_copy):
    if standin.generation == 1 and zero_copy:
        pytest.skip('generation 1 has no zero copy')
    standin.emulate(cpu)
    npu = LibrknnRuntime(model, library=standin.path, zero_copy=zero_copy)
    assert npu.zero_copy == zero_copy
    results = []
    for runtime in (cpu, npu):
        extractor = Extractor(runtime)
        detection = extractor.detect(image, extractor.new_descriptor_map())
        results.append((detection, extractor.describe(detection)))
    npu.close()
    (on_cpu, cpu_descriptors), (on_npu, npu_descriptors) = results
    assert len(on_cpu.keypoints) > 100
    for field in ('x', 'y', 'score'):
        expected = getattr(on_cpu.keypoints, field)
        np.testing.assert_array_equal(getattr(on_npu.keypoints, field), expected)
    signed = on_npu.raw.dtype == np.int8
    assert signed == (standin.generation == 2)
    raw = on_npu.raw.view(np.uint8) ^ np.uint8(0x80 if signed else 0)
    np.testing.assert_array_equal(raw, on_cpu.raw)
    np.testing.assert_array_equal(npu_descriptors, cpu_descriptors)
