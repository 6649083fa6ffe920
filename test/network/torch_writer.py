"""Writer of valid and invalid .pth files without PyTorch."""

import io
import pickle
import sys
import zipfile
from collections import OrderedDict

import numpy as np


class Storage:
    def __init__(self, kind, key, count):
        self.id = ('storage', kind, key, 'cpu', count)


class Tensor:
    """Pickled like a tensor of PyTorch."""

    def __init__(self, storage, offset, size, stride):
        self.arguments = (storage, offset, size, stride, False, OrderedDict())

    def __reduce__(self):
        return sys.modules['torch._utils']._rebuild_tensor_v2, self.arguments


def save(path, state, storages, root='archive'):
    """Write a zip of a pickle and of one file for each storage, as torch.save does."""

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
