import os
import pickle
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
from torch_writer import Storage, Tensor, save, save_tensors

from superpoint_rknn.network import torch_file
from superpoint_rknn.network.torch_file import read_tensors
from superpoint_rknn.network.weights import load_weights


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
        (0, (1 << 40,), (0,)),  # small in the file, large in memory
        (0, (1 << 62, 1 << 62), (1, 1)),
        (0, (2, 2), (1,)),
        (0, (2.0,), (1,)),
        (0, [2], (1,)),
        ('0', (2,), (1,)),
        (0, (1,), (1 << 70,)),
        (0, (0, 1 << 70), (1, 1)),
    ],
)
def test_tensors_that_exceed_their_storage_are_refused(
    tmp_path, torch_names, offset, size, stride
):
    storage = Storage(torch_names.FloatStorage, '0', 10)
    state = {'w': Tensor(storage, offset, size, stride)}
    save(tmp_path / 'w.pth', state, {'0': np.zeros(10, np.float32)})
    with pytest.raises(ValueError, match=r'w: (size|not a tensor)'):
        read_tensors(tmp_path / 'w.pth')


def test_storages_of_an_unhashable_type_are_refused(tmp_path, torch_names):
    state = {'w': Tensor(Storage(['FloatStorage'], '0', 4), 0, (4,), (1,))}
    save(tmp_path / 'w.pth', state, {'0': np.zeros(4, np.float32)})
    with pytest.raises(ValueError, match='w: not a tensor'):
        read_tensors(tmp_path / 'w.pth')


def test_storages_are_read_only_from_the_file(tmp_path, torch_names):
    for key in ('1', '../../../etc/passwd', 7):
        state = {'w': Tensor(Storage(torch_names.FloatStorage, key, 4), 0, (4,), (1,))}
        save(tmp_path / 'w.pth', state, {'0': np.zeros(4, np.float32)})
        with pytest.raises(ValueError, match=r'missing in the file|not a tensor'):
            read_tensors(tmp_path / 'w.pth')


class Calls:
    """Object whose pickle calls a function, as in a malicious file."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def test_malicious_pickles_are_refused(tmp_path, torch_names):
    trace = tmp_path / 'executed'
    for call in (
        Calls(os.system, f'touch {trace}'),
        Calls(eval, f'open({str(trace)!r}, "w")'),
        Calls(getattr, 'x', 'join'),
        Calls(np.frombuffer, b'1234'),
        Calls(torch_names.BFloat16Storage),
        Calls(torch_names.FloatStorage),  # a storage type may be referenced, but not called
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
        b'\x80\x02]q\x00h\x00a.',  # a list that contains itself
        b'ctorch\nFloatStorage\n}b.',  # sets the state of a name
        b'ccollections\nOrderedDict\nN}X\x01\x00\x00\x00aK\x01s\x86b.',  # ... of a class
        b'ctorch._utils\n_rebuild_tensor_v2\n)R.',
        b'Vx\nQ.',  # a persistent id that is not a storage
        b'h\x05.',
        b'B\xff\xff\xff\xff.',
        b'\x80\x02}r\xff\xff\xff\x7f.',  # 16 GB of memo
        b'(' * 5000 + b'.',
    ],
)
def test_damaged_pickles_are_refused(tmp_path, content):
    with zipfile.ZipFile(tmp_path / 'w.pth', 'w') as archive:
        archive.writestr('archive/data.pkl', content)
    with pytest.raises(ValueError, match=r'refused|not a dictionary|found no tensor'):
        load_weights(tmp_path / 'w.pth')


def test_files_that_are_not_torch_files_are_refused(tmp_path):
    path = tmp_path / 'w.pth'
    for content in (b'', b'text', pickle.dumps({'w': 1})):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r'not a PyTorch file .*: torch\.save'):
            load_weights(path)
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('other', b'')
    with pytest.raises(ValueError, match=r'data\.pkl is missing'):
        load_weights(path)


def test_bytes_are_bounded_in_all(tmp_path, torch_names, monkeypatch):
    """Each storage is below the bound; compressed, the file is small."""
    monkeypatch.setattr(torch_file, 'MAX_BYTES', 10000)
    storages = {str(n): np.zeros(600, np.float32) for n in range(5)}
    path = tmp_path / 'w.pth'

    def refused(tensors):
        save(path, {f't{n}': tensor for n, tensor in enumerate(tensors)}, storages)
        with pytest.raises(ValueError, match='more than'):
            read_tensors(path)

    float_storage = torch_names.FloatStorage
    two = [Tensor(Storage(float_storage, key, 600), 0, (600,), (1,)) for key in ('0', '1')]
    save(path, {'t': two[0], 'u': two[1]}, storages)
    assert len(read_tensors(path)) == 2
    # Small tensors of large storages, then large tensors of one storage
    refused([Tensor(Storage(float_storage, key, 600), 0, (1,), (1,)) for key in storages])
    one = [Tensor(Storage(float_storage, '0', 600), 0, (600,), (0,)) for _ in range(5)]
    refused(one)


def test_a_large_pickle_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(torch_file, 'MAX_PICKLE', 1000)
    with zipfile.ZipFile(tmp_path / 'w.pth', 'w') as archive:
        archive.writestr('archive/data.pkl', b'\x80\x02' + b'}' * 1000 + b'.')
    with pytest.raises(ValueError, match=r'data\.pkl has 1003 bytes, more than 1000'):
        read_tensors(tmp_path / 'w.pth')
