"""Writes .pth files as torch.save does, and wrong ones, without PyTorch."""

import io
import pickle
import sys
import types
import zipfile
from collections import OrderedDict

import numpy as np
import pytest


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
