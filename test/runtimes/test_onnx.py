import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from superpoint_rknn.network.network import float_graph
from superpoint_rknn.network.weights import load_weights
from superpoint_rknn.runtimes.onnx import int8_overflow
from superpoint_rknn.runtimes.onnx.runtime import OnnxRuntime, physical_cores
from superpoint_rknn.runtimes.open import open_runtime
from superpoint_rknn.runtimes.runtime import ModelError

MODELS = Path(__file__).parents[2] / 'models'
SHIPPED = MODELS / 'superpoint_400x640_u8.onnx'
PICTURES = Path(importlib.util.find_spec('skimage').submodule_search_locations[0]) / 'data'


@pytest.fixture(scope='module')
def images():
    """Real pictures, and noise of extreme contrast."""
    names = ('astronaut.png', 'camera.png', 'page.png', 'motorcycle_left.png')
    pictures = [cv2.imread(str(PICTURES / name), cv2.IMREAD_GRAYSCALE) for name in names]
    noise = np.random.default_rng(0).integers(0, 256, (400, 640)).astype(np.uint8)
    return [*(cv2.resize(picture, (640, 400)) for picture in pictures), noise]


@pytest.fixture(scope='module')
def shipped():
    return OnnxRuntime(SHIPPED)


def descriptor_buffer(runtime):
    return np.zeros(runtime.descriptors.shape[1:], runtime.descriptors.dtype)


def changed(path, change):
    """A copy of the shipped model with a change."""
    model = onnx.load(SHIPPED)
    change(model)
    path.write_bytes(model.SerializeToString())
    return path


def test_shipped_model(shipped):
    assert shipped.input.shape == (1, 1, 400, 640)
    assert shipped.logits.shape == (1, 65, 50, 80)
    assert shipped.descriptors.shape == (1, 256, 50, 80)
    assert shipped.descriptors.dtype == np.uint8
    assert shipped.input_table is None  # raw bytes are the input
    assert shipped.name == f'onnxruntime {onnxruntime.__version__}'
    assert shipped.model.startswith('superpoint_400x640_u8@')


def test_infer_equals_the_session(shipped, images):
    session = onnxruntime.InferenceSession(SHIPPED, providers=['CPUExecutionProvider'])
    descriptors = descriptor_buffer(shipped)
    for image in images:
        logits = shipped.infer(image, descriptors)
        expected, expected_descriptors = session.run(
            ['semi', 'desc'], {'image': image[None, None]}
        )
        np.testing.assert_array_equal(logits, expected[0])
        np.testing.assert_array_equal(descriptors, expected_descriptors[0])
        assert sorted(shipped.stages_ms) == ['inputs_set', 'run']


def test_descriptors_are_optional_and_written_to_the_buffer(shipped, images):
    first, second = descriptor_buffer(shipped), descriptor_buffer(shipped)
    with_descriptors = shipped.infer(images[0], first).copy()
    kept = first.copy()
    shipped.infer(images[1], second)
    np.testing.assert_array_equal(first, kept)
    assert (second != first).any()
    np.testing.assert_array_equal(shipped.infer(images[0], None), with_descriptors)
    np.testing.assert_array_equal(first, kept)


def test_memory_does_not_grow(shipped, images):
    def resident_pages():
        return int(Path('/proc/self/statm').read_text().split()[1])

    descriptors = descriptor_buffer(shipped)
    for _ in range(3):
        shipped.infer(images[0], descriptors)
    before = resident_pages()
    for number in range(10):
        shipped.infer(images[number % 5], descriptors if number % 2 else None)
    assert (resident_pages() - before) * 4096 < 4 << 20


def test_results_do_not_depend_on_the_number_of_threads(shipped, images):
    single = OnnxRuntime(SHIPPED, threads=1)
    a, b = descriptor_buffer(shipped), descriptor_buffer(shipped)
    np.testing.assert_array_equal(single.infer(images[0], a), shipped.infer(images[0], b))
    np.testing.assert_array_equal(a, b)
    assert physical_cores() >= 1
    with pytest.raises(ValueError, match='threads: 0'):
        OnnxRuntime(SHIPPED, threads=0)


@pytest.mark.parametrize(
    'image',
    [
        np.zeros((400, 632), np.uint8),
        np.zeros((400, 640), np.int8),
        np.zeros((400, 1280), np.uint8)[:, ::2],
    ],
)
def test_image_of_another_shape_or_dtype_raises(shipped, image):
    with pytest.raises(ValueError, match=r'image: .* expected contiguous \(400, 640\) uint8'):
        shipped.infer(image, None)


@pytest.mark.parametrize(
    'buffer', [np.zeros((256, 50, 79), np.uint8), np.zeros((256, 50, 80), np.float32)]
)
def test_buffer_of_another_shape_or_dtype_raises(shipped, images, buffer):
    with pytest.raises(ValueError, match=r'descriptors: .* expected contiguous \(256, 50, 80\)'):
        shipped.infer(images[0], buffer)


def test_closed_runtime_raises(images):
    runtime = open_runtime(SHIPPED)
    runtime.close()
    runtime.close()
    with pytest.raises(RuntimeError, match='is closed'):
        runtime.infer(images[0], None)


def test_input_table_is_applied(tmp_path, images):
    """Scale 1/255 in the metadata and std 255: the same bytes. Scale 0.9: brighter bytes."""

    def metadata(scale, zero_point='0'):
        def change(model):
            props = {entry.key: entry.value for entry in model.metadata_props}
            props |= {'image.scale': scale, 'image.zero_point': zero_point}
            del model.metadata_props[:]
            helper.set_model_props(model, props)

        return change

    same = OnnxRuntime(changed(tmp_path / 'same.onnx', metadata(repr(1 / 255))))
    assert same.input_table is None
    path = changed(tmp_path / 'other.onnx', metadata('1.1', '3'))
    other = OnnxRuntime(path, mean=0, std=1)
    np.testing.assert_array_equal(
        other.input_table, np.round(np.arange(256) / 1.1 + 3).astype(np.uint8)
    )
    shipped = OnnxRuntime(SHIPPED)
    logits = other.infer(images[0], None)
    np.testing.assert_array_equal(logits, shipped.infer(other.input_table[images[0]], None))


def test_float_model(tmp_path, images):
    weights = load_weights(MODELS / 'superpoint.npz')
    model = float_graph(weights, (80, 96))
    path = tmp_path / 'float.onnx'
    path.write_bytes(model.SerializeToString())
    runtime = OnnxRuntime(path)
    assert runtime.descriptors.quantization is None
    assert runtime.descriptors.dtype == np.float32
    image = np.ascontiguousarray(images[0][:80, :96])
    session = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])
    descriptors = descriptor_buffer(runtime)
    for options, real in (({}, image), ({'mean': 10, 'std': 2}, (image - 10.0) / 2)):
        runtime = OnnxRuntime(path, **options)
        logits = runtime.infer(image, descriptors)
        expected = session.run(None, {'image': real[None, None].astype(np.float32)})
        np.testing.assert_allclose(logits, expected[0][0], atol=1e-4)
        np.testing.assert_allclose(descriptors, expected[1][0], atol=1e-4)
    path.with_suffix('.json').write_text('{"input": {"std": 255}}')
    expected = session.run(None, {'image': image[None, None].astype(np.float32) / 255})
    np.testing.assert_allclose(OnnxRuntime(path).infer(image, None), expected[0][0], atol=1e-4)
    for std in (0.0, float('inf')):
        with pytest.raises(ModelError, match=f'std {std}: expected numbers'):
            OnnxRuntime(path, std=std)


def test_int8_overflow_is_detected():
    """Compared with a dot product on this very CPU: 255 * 127, 16 times."""
    a = np.full((1, 16), 255, np.uint8)
    b = np.full((16, 16), 127, np.int8)
    graph = helper.make_graph(
        [helper.make_node('MatMulInteger', ['a', 'b'], ['y'])],
        'product',
        [helper.make_tensor_value_info('a', TensorProto.UINT8, [1, 16])],
        [helper.make_tensor_value_info('y', TensorProto.INT32, [1, 16])],
        [numpy_helper.from_array(b, 'b')],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 12)], ir_version=7)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=['CPUExecutionProvider']
    )
    (y,) = session.run(None, {'a': a})
    exact = (a.astype(int) @ b).ravel().tolist() == y.ravel().tolist()
    assert int8_overflow.has_int8_overflow() == (not exact)


def test_overflowing_weights_are_re_encoded(tmp_path, shipped, images, caplog):
    """A model with an int8 first layer gives the same integers, if need be at a lower speed."""

    def signed_first_layer(model):
        (node,) = (n for n in model.graph.node if 'image' in n.input)
        for constant in model.graph.initializer:
            values = numpy_helper.to_array(constant)
            if constant.name in node.input[3:6] and values.dtype == np.uint8:
                values = (values.astype(np.int16) - 128).astype(np.int8)
                constant.CopyFrom(numpy_helper.from_array(values, constant.name))

    runtime = OnnxRuntime(changed(tmp_path / 'signed.onnx', signed_first_layer))
    assert ('overflow on this CPU' in caplog.text) == int8_overflow.has_int8_overflow()
    a, b = descriptor_buffer(shipped), descriptor_buffer(shipped)
    for image in images:
        np.testing.assert_array_equal(runtime.infer(image, a), shipped.infer(image, b))
        np.testing.assert_array_equal(a, b)


def test_signed_weights_of_later_layers_do_not_overflow(tmp_path, shipped, images):
    """All weights as uint8 can't overflow, on any CPU: the shipped model gives equal bytes."""

    def unsigned(model):
        for constant in model.graph.initializer:
            values = numpy_helper.to_array(constant)
            if values.dtype == np.int8:
                values = (values.astype(np.int16) + 128).astype(np.uint8)
                constant.CopyFrom(numpy_helper.from_array(values, constant.name))

    runtime = OnnxRuntime(changed(tmp_path / 'unsigned.onnx', unsigned))
    a, b = descriptor_buffer(shipped), descriptor_buffer(shipped)
    for image in images:
        np.testing.assert_array_equal(runtime.infer(image, a), shipped.infer(image, b))
        np.testing.assert_array_equal(a, b)


def test_invalid_option_raises():
    with pytest.raises(ValueError, match="pass_through: 'maybe'"):
        OnnxRuntime(SHIPPED, pass_through='maybe')


def test_model_card_gives_mean_and_std(tmp_path):
    path = tmp_path / 'model.onnx'
    shutil.copy(SHIPPED, path)
    path.with_suffix('.json').write_text('{"input": {"mean": 0, "std": 300}}')
    with pytest.raises(ModelError, match='std'):
        OnnxRuntime(path)  # all bytes would become 0 or 1
    assert OnnxRuntime(path, std=1).input_table is None


def test_runs_without_the_onnx_package():
    code = (
        'import sys, numpy; sys.modules["onnx"] = None\n'
        'from superpoint_rknn import open_runtime\n'
        'from superpoint_rknn.runtimes.onnx.int8_overflow import has_int8_overflow\n'
        f'runtime = open_runtime({str(SHIPPED)!r})\n'
        'logits = runtime.infer(numpy.zeros(runtime.input.shape[2:], numpy.uint8), None)\n'
        'print(logits.shape, has_int8_overflow())\n'
    )
    result = subprocess.run(
        [sys.executable, '-c', code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert result.stdout.split() == ['(65,', '50,', '80)', str(int8_overflow.has_int8_overflow())]


def test_package_imports_without_onnxruntime():
    code = (
        'import sys; sys.modules["onnxruntime"] = None\n'
        'import superpoint_rknn.extractor, superpoint_rknn.runtimes.open as r\n'
        f'try: r.open_runtime({str(SHIPPED)!r})\n'
        'except r.RuntimeUnavailableError as error: print(error)\n'
    )
    result = subprocess.run(
        [sys.executable, '-c', code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert 'pip install onnxruntime' in result.stdout
