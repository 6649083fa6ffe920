import io
import pickle
import sys
import types
import zipfile
from collections import OrderedDict

import numpy as np
import onnx
import pytest

from superpoint_rknn.model.network import LAYERS, Weights, float_graph
from superpoint_rknn.model.rpautrat import EPSILON, MODULES
from superpoint_rknn.model.torch_file import read_tensors
from superpoint_rknn.model.weights import load_weights, without_floors
from superpoint_rknn.runtimes.runtime import ModelError


def assert_equal(a: Weights, b: Weights):
    for layer in LAYERS:
        np.testing.assert_array_equal(a.kernels[layer.name], b.kernels[layer.name])
        np.testing.assert_array_equal(a.biases[layer.name], b.biases[layer.name])


# .npz


def test_npz(weights_file, weights):
    arrays = np.load(weights_file)
    np.testing.assert_array_equal(weights.kernels['conv3a'], arrays['conv3a.weight'])
    np.testing.assert_array_equal(weights.biases['convDb'], arrays['convDb.bias'])
    assert sum(v.size for v in (*weights.kernels.values(), *weights.biases.values())) == 1300865


def test_npz_that_is_refused(weights_file, tmp_path):
    arrays = dict(np.load(weights_file))
    path = tmp_path / 'weights.npz'
    np.savez(path, **{**arrays, 'conv2a.bias': np.array([object()] * 64)})
    with pytest.raises(ValueError, match='Object arrays cannot be loaded'):
        load_weights(path)
    np.savez(path, **{name: v for name, v in arrays.items() if name != 'convDa.bias'})
    with pytest.raises(ValueError, match=r'weights\.npz: convDa\.bias is missing'):
        load_weights(path)
    path.write_bytes(weights_file.read_bytes()[:100000])
    with pytest.raises(ValueError, match='not a NumPy archive'):
        load_weights(path)
    path.write_bytes(b'')
    with pytest.raises(ValueError, match='not a NumPy archive'):
        load_weights(path)


def test_input_std_is_folded_into_the_first_layer(weights_file, weights, tmp_path):
    scaled = load_weights(weights_file, 255.0)
    np.testing.assert_allclose(
        scaled.kernels['conv1a'] * 255, weights.kernels['conv1a'], rtol=1e-6
    )
    path = tmp_path / 'own.npz'
    path.write_bytes(weights_file.read_bytes())
    (tmp_path / 'own.json').write_text('{"input": {"std": 255}}')
    assert_equal(load_weights(path), scaled)
    (tmp_path / 'own.json').write_text('{"input": {"mean": 127}}')
    with pytest.raises(ValueError, match='input mean 127'):
        load_weights(path)


def test_other_suffixes(tmp_path):
    with pytest.raises(ValueError, match=r"weights come as \.npz, \.onnx or \.pth, not '\.pt'"):
        load_weights(tmp_path / 'weights.pt')
    with pytest.raises(OSError, match='No such file'):
        load_weights(tmp_path / 'weights.npz')


# .onnx


def test_onnx(weights, tmp_path):
    onnx.save(float_graph(weights, (64, 64)), tmp_path / 'plain.onnx')
    assert_equal(load_weights(tmp_path / 'plain.onnx'), weights)


def test_onnx_under_other_names_with_heads_swapped(weights, tmp_path):
    """The descriptor head first, unnamed nodes, and normalisation after it, as exporters do."""
    model = float_graph(weights, (64, 64))
    nodes = list(model.graph.node)
    heads = [n for n in nodes if n.name.startswith(('convP', 'convD'))]
    trunk = [n for n in nodes if n not in heads]
    heads.sort(key=lambda node: node.name.startswith('convP'))
    del model.graph.node[:]
    model.graph.node.extend([*trunk, *heads])
    model.graph.node.append(onnx.helper.make_node('LpNormalization', ['desc'], ['unit'], axis=1))
    for node in model.graph.node:
        node.name = ''
        node.input[:] = [f'x/{name}' for name in node.input]
        node.output[:] = [f'x/{name}' for name in node.output]
    for value in (*model.graph.initializer, *model.graph.input, *model.graph.output):
        value.name = f'x/{value.name}'
    onnx.save(model, tmp_path / 'other.onnx')
    assert_equal(load_weights(tmp_path / 'other.onnx'), weights)


def test_onnx_that_is_refused(weights, tmp_path):
    path = tmp_path / 'model.onnx'

    def refused(change, error, reason):
        model = float_graph(weights, (64, 64))
        change(model.graph)
        onnx.save(model, path)
        with pytest.raises(error, match=reason):
            load_weights(path)

    def node(graph, name):
        return next(node for node in graph.node if node.name == name)

    def stride(graph):
        attributes = node(graph, 'conv2a').attribute
        attributes.append(onnx.helper.make_attribute('strides', [2, 2]))

    def external(graph):
        graph.initializer[0].data_location = onnx.TensorProto.EXTERNAL
        graph.initializer[0].external_data.add(key='location', value='../../etc/passwd')
        graph.initializer[0].ClearField('raw_data')

    def rename(graph):
        node(graph, 'conv1b_relu').op_type = 'LeakyRelu'

    refused(stride, ValueError, r"Conv 'conv2a': strides \[2, 2\], not \[1, 1\]")
    refused(rename, ValueError, r"Relu is expected after 'conv1b', found LeakyRelu")
    refused(external, ModelError, 'kept in another file')
    path.write_bytes(b'no model')
    with pytest.raises(ModelError, match='not an ONNX model'):
        load_weights(path)


# .pth


class Storage:
    def __init__(self, kind, key, count):
        self.id = ('storage', kind, key, 'cpu', count)


class Tensor:
    """Pickles as PyTorch's tensors do."""

    def __init__(self, storage, offset, size, stride):
        self.arguments = (storage, offset, size, stride, False, OrderedDict())

    def __reduce__(self):
        return sys.modules['torch._utils']._rebuild_tensor_v2, self.arguments


@pytest.fixture
def torch_names(monkeypatch):
    """Modules of PyTorch's names, for the pickler alone: it looks up what it names."""

    def named(module, name):
        return type(name, (), {'__module__': module})

    torch, utils = types.ModuleType('torch'), types.ModuleType('torch._utils')
    for kind in ('FloatStorage', 'LongStorage', 'HalfStorage', 'BFloat16Storage'):
        setattr(torch, kind, named('torch', kind))
    utils._rebuild_tensor_v2 = named('torch._utils', '_rebuild_tensor_v2')
    monkeypatch.setitem(sys.modules, 'torch', torch)
    monkeypatch.setitem(sys.modules, 'torch._utils', utils)
    return torch


def save(path, state, storages, root='archive'):
    """What torch.save writes: a zip of a pickle and of one file for each storage."""

    class Pickler(pickle.Pickler):
        def persistent_id(self, obj):
            return obj.id if isinstance(obj, Storage) else None

    content = io.BytesIO()
    Pickler(content, protocol=2).dump(state)
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr(f'{root}/data.pkl', content.getvalue())
        archive.writestr(f'{root}/byteorder', 'little')
        for key, values in storages.items():
            archive.writestr(f'{root}/data/{key}', values.tobytes())


def save_tensors(path, arrays, torch, wrap=None):
    state, storages = OrderedDict(), {}
    for number, (name, array) in enumerate(arrays.items()):
        kind = torch.FloatStorage if array.dtype == np.float32 else torch.LongStorage
        storage = Storage(kind, str(number), array.size)
        stride = tuple(step // array.itemsize for step in array.strides)
        state[name] = Tensor(storage, 0, array.shape, stride)
        storages[str(number)] = array
    save(path, {wrap: state, 'epoch': 3} if wrap else state, storages)


@pytest.mark.parametrize('wrap', [None, 'model', 'state_dict'])
def test_tensors_of_a_torch_file(tmp_path, torch_names, wrap):
    arrays = {
        'weight': np.arange(24, dtype=np.float32).reshape(2, 3, 4),
        'count': np.array(5, np.int64),
    }
    save_tensors(tmp_path / 'w.pth', arrays, torch_names, wrap)
    tensors = read_tensors(tmp_path / 'w.pth')
    assert sorted(tensors) == ['count', 'weight']
    np.testing.assert_array_equal(tensors['weight'], arrays['weight'])
    assert tensors['count'] == 5


def test_views_of_one_storage(tmp_path, torch_names):
    values = np.arange(10, dtype=np.float32)
    storage = Storage(torch_names.FloatStorage, '0', 10)
    state = {
        'transposed': Tensor(storage, 4, (3, 2), (1, 3)),
        'last': Tensor(storage, 9, (1,), (1,)),
        'empty': Tensor(storage, 0, (0, 3), (3, 1)),
    }
    save(tmp_path / 'w.pth', state, {'0': values})
    tensors = read_tensors(tmp_path / 'w.pth')
    np.testing.assert_array_equal(tensors['transposed'], [[4, 7], [5, 8], [6, 9]])
    np.testing.assert_array_equal(tensors['last'], [9])
    assert tensors['empty'].shape == (0, 3)


@pytest.mark.parametrize(
    ('offset', 'size', 'stride'),
    [
        (0, (11,), (1,)),
        (10, (1,), (1,)),
        (1, (2, 5), (5, 1)),
        (0, (2, 2), (9, 1)),
        (-1, (2,), (1,)),
        (0, (-2, -2), (1, 1)),
        (0, (3,), (-1,)),
        (0, (1 << 40,), (0,)),  # little in the file, much in memory
        (0, (1 << 62, 1 << 62), (1, 1)),
        (0, (2, 2), (1,)),
        (0, (2.0,), (1,)),
        (0, [2], (1,)),
        ('0', (2,), (1,)),
    ],
)
def test_tensors_beyond_their_storage_are_refused(tmp_path, torch_names, offset, size, stride):
    storage = Storage(torch_names.FloatStorage, '0', 10)
    state = {'w': Tensor(storage, offset, size, stride)}
    save(tmp_path / 'w.pth', state, {'0': np.zeros(10, np.float32)})
    with pytest.raises(ValueError, match=r'w: (size|not a tensor)'):
        read_tensors(tmp_path / 'w.pth')


def test_storages_are_looked_up_in_the_file_alone(tmp_path, torch_names):
    for key in ('1', '../../../etc/passwd', 7):
        state = {'w': Tensor(Storage(torch_names.FloatStorage, key, 4), 0, (4,), (1,))}
        save(tmp_path / 'w.pth', state, {'0': np.zeros(4, np.float32)})
        with pytest.raises(ValueError, match=r'missing in the file|not a tensor'):
            read_tensors(tmp_path / 'w.pth')


class Calls:
    """Pickles as a call of a function: what a hostile file does."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def test_hostile_pickles_are_refused(tmp_path, torch_names):
    trace = tmp_path / 'executed'
    import os

    for call in (
        Calls(os.system, f'touch {trace}'),
        Calls(eval, f'open({str(trace)!r}, "w")'),
        Calls(getattr, 'x', 'join'),
        Calls(np.frombuffer, b'1234'),
        Calls(torch_names.BFloat16Storage),
        Calls(torch_names.FloatStorage),  # a storage may be named, not made
    ):
        for state in (call, {'w': call}, OrderedDict(w=[call])):
            save(tmp_path / 'w.pth', state, {})
            with pytest.raises(ValueError, match=r'w\.pth: refused'):
                load_weights(tmp_path / 'w.pth')
    assert not trace.exists()


@pytest.mark.parametrize(
    'content',
    [
        b'',
        b'\x80\x02',
        b'\x80\x02}.trailing',
        b'\x80\x02K\x01.',
        b'\x80\x02]q\x00h\x00a.',  # a list that holds itself
        b'ctorch\nFloatStorage\n}b.',  # sets the state of a name
        b'ccollections\nOrderedDict\nN}X\x01\x00\x00\x00aK\x01s\x86b.',  # ... of a class
        b'ctorch._utils\n_rebuild_tensor_v2\n)R.',
        b'Vx\nQ.',  # a persistent id that is no storage
        b'h\x05.',
        b'B\xff\xff\xff\xff.',
        b'\x80\x02}r\xff\xff\xff\x7f.',  # 16 GB of memo
        b'(' * 5000 + b'.',
    ],
)
def test_damaged_pickles_are_refused(tmp_path, content):
    with zipfile.ZipFile(tmp_path / 'w.pth', 'w') as archive:
        archive.writestr('archive/data.pkl', content)
    with pytest.raises(ValueError, match=r'refused|no dictionary|missing'):
        load_weights(tmp_path / 'w.pth')


def test_files_that_are_no_torch_files(tmp_path):
    path = tmp_path / 'w.pth'
    for content in (b'', b'text', pickle.dumps({'w': 1})):
        path.write_bytes(content)
        with pytest.raises(ValueError, match='no PyTorch file'):
            load_weights(path)
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('other', b'')
    with pytest.raises(ValueError, match=r'data\.pkl is missing'):
        load_weights(path)


# The layout with batch normalisation


@pytest.fixture
def batch_normalised():
    rng = np.random.default_rng(3)
    arrays = {}
    for layer in LAYERS:
        module, shape = MODULES[layer.name], (layer.outputs,)
        kernel = (layer.outputs, layer.inputs, layer.kernel, layer.kernel)
        tensors = {
            'conv.weight': rng.normal(0, (2 / np.prod(kernel[1:])) ** 0.5, kernel),
            'conv.bias': rng.normal(0, 0.1, shape),
            'bn.weight': rng.uniform(0.5, 1.5, shape),
            'bn.bias': rng.normal(0, 0.3, shape),
            'bn.running_mean': rng.normal(0.4, 0.1, shape),
            'bn.running_var': rng.uniform(0.5, 2, shape),
        }
        for name, values in tensors.items():
            arrays[f'{module}.{name}'] = values.astype(np.float32)
        arrays[f'{module}.bn.num_batches_tracked'] = np.array(100, np.int64)
    return arrays


def batch_normalised_graph(arrays, size):
    """The same network with BatchNormalization after ReLU, as PyTorch runs it, for 0 to 1."""
    nodes, tensor_of = [], {'image': 'image'}
    for layer in LAYERS:
        name = MODULES[layer.name]
        parameters = [f'{name}.conv.weight', f'{name}.conv.bias']
        nodes.append(
            onnx.helper.make_node(
                'Conv',
                [tensor_of[layer.source], *parameters],
                [name],
                pads=[layer.kernel // 2] * 4,
            )
        )
        tensor = name
        if layer.relu:
            nodes.append(onnx.helper.make_node('Relu', [name], [tensor := f'{name}.relu']))
        parameters = ('weight', 'bias', 'running_mean', 'running_var')
        inputs = [tensor, *(f'{name}.bn.{parameter}' for parameter in parameters)]
        tensor = {'convPb': 'semi', 'convDb': 'desc'}.get(layer.name, f'{name}.bn')
        nodes.append(
            onnx.helper.make_node('BatchNormalization', inputs, [tensor], epsilon=EPSILON)
        )
        if layer.pool:
            square = {'kernel_shape': [2, 2], 'strides': [2, 2]}
            nodes.append(onnx.helper.make_node('MaxPool', [tensor], [f'{name}.pool'], **square))
            tensor = f'{name}.pool'
        tensor_of[layer.name] = tensor

    def value(name, shape):
        return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)

    cells = [side // 8 for side in size]
    graph = onnx.helper.make_graph(
        nodes,
        'batch_normalised',
        [value('image', [1, 1, *size])],
        [value('semi', [1, 65, *cells]), value('desc', [1, 256, *cells])],
        [
            onnx.numpy_helper.from_array(array, name)
            for name, array in arrays.items()
            if array.dtype == np.float32
        ],
    )
    return onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid('', 12)], ir_version=7
    )


def test_batch_normalisation_is_exact_to_the_border(
    batch_normalised, tmp_path, torch_names, run_onnx
):
    save_tensors(tmp_path / 'w.pth', batch_normalised, torch_names)
    weights = load_weights(tmp_path / 'w.pth')
    image = np.random.default_rng(0).integers(0, 256, (64, 72)).astype(np.float32)
    expected = run_onnx(batch_normalised_graph(batch_normalised, (64, 72)), image / 255)
    for a, b in zip(run_onnx(float_graph(weights, (64, 72)), image), expected, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-4)
    folded = run_onnx(float_graph(without_floors(weights), (64, 72)), image)
    assert np.abs(folded[0] - expected[0]).max() > 0.01


def test_two_input_channels_both_see_the_grey_image(batch_normalised, tmp_path, torch_names):
    save_tensors(tmp_path / 'one.pth', batch_normalised, torch_names)
    kernel = batch_normalised['backbone.0.0.conv.weight']
    halves = np.concatenate([kernel / 4, kernel * 3 / 4], 1)
    save_tensors(
        tmp_path / 'two.pth',
        {**batch_normalised, 'backbone.0.0.conv.weight': halves},
        torch_names,
    )
    one, two = load_weights(tmp_path / 'one.pth'), load_weights(tmp_path / 'two.pth')
    np.testing.assert_allclose(one.kernels['conv1a'], two.kernels['conv1a'], atol=1e-9)


def test_other_layouts_are_refused(batch_normalised, tmp_path, torch_names):
    path = tmp_path / 'w.pth'

    def refused(changes, reason):
        arrays = {**batch_normalised, **changes}
        save_tensors(path, {k: v for k, v in arrays.items() if v is not None}, torch_names)
        with pytest.raises(ValueError, match=reason):
            load_weights(path)

    gain = batch_normalised['backbone.2.1.bn.weight'].copy()
    gain[5] = -0.1
    refused({'backbone.2.1.bn.weight': gain}, 'negative values after a ReLU')
    refused({'detector.0.conv.bias': None}, r'detector\.0\.conv\.bias is missing')
    refused({'detector.1.bn.bias': gain}, r'detector\.1: .* differ in channels')
    refused({'descriptor.0.conv.weight': gain}, 'has 1 dimensions, expected 4')
    wrong = batch_normalised['backbone.1.0.conv.weight'][:, :32]
    refused({'backbone.1.0.conv.weight': wrong.copy()}, r'conv2a\.weight has shape')
