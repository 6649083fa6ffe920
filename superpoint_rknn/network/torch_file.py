"""Safe reader of the tensors in a PyTorch file, without PyTorch."""

from __future__ import annotations

import io
import pickle
import pickletools
import zipfile
from collections import OrderedDict
from math import prod
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np

from superpoint_rknn.archive import DamagedArchiveError, open_archive, read_member

STORAGES: dict[str, np.dtype] = {
    'DoubleStorage': np.dtype('<f8'),
    'FloatStorage': np.dtype('<f4'),
    'HalfStorage': np.dtype('<f2'),
    'LongStorage': np.dtype('<i8'),
    'IntStorage': np.dtype('<i4'),
}
MAX_BYTES = 128 << 20  # of all storages and tensors that are read; a SuperPoint takes 5 MB
MAX_PICKLE = 4 << 20  # [bytes]; unpickled objects take up to 70 times as much
WRAPPERS = ('model', 'state_dict', 'model_state_dict')  # keys under which a state dict is stored
# Opcodes that PyTorch writes for a dictionary of tensors.
OPCODES = {
    *('PROTO', 'MARK', 'STOP', 'GLOBAL', 'REDUCE', 'BUILD', 'BINPERSID'),
    *('BINPUT', 'LONG_BINPUT', 'BINGET', 'LONG_BINGET'),
    *('EMPTY_DICT', 'SETITEM', 'SETITEMS', 'EMPTY_LIST', 'APPEND', 'APPENDS'),
    *('EMPTY_TUPLE', 'TUPLE', 'TUPLE1', 'TUPLE2', 'TUPLE3', 'BINUNICODE'),
    *('BININT', 'BININT1', 'BININT2', 'LONG1', 'BINFLOAT', 'NONE', 'NEWTRUE', 'NEWFALSE'),
}
# Errors of the unpickler for damaged or malicious files, documented and observed.
PICKLE_ERRORS = (
    *(pickle.UnpicklingError, AttributeError, EOFError, ImportError, IndexError, KeyError),
    *(MemoryError, OverflowError, RecursionError, TypeError, ValueError),
)


class _Storage(NamedTuple):
    kind: object
    key: object


class _PickledTensor(NamedTuple):
    """Unchecked description of a tensor in the pickle, without data."""

    storage: object
    offset: object
    size: object
    stride: object


class _Tensor(NamedTuple):
    """Checked description of a tensor; offset and strides in elements."""

    dtype: np.dtype
    key: str  # of the storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


class _TensorUnpickler(pickle.Unpickler):
    """Unpickler that allows only dictionaries and tensors; tensors become _PickledTensor."""

    def find_class(self, module: str, name: str) -> object:
        if (module, name) == ('collections', 'OrderedDict'):
            return OrderedDict
        if (module, name) == ('torch._utils', '_rebuild_tensor_v2'):
            # A new function each time, since a pickle can set attributes of objects.
            return lambda *arguments: _PickledTensor(*arguments[:4])
        if module == 'torch' and name in STORAGES:
            return name  # not callable
        raise pickle.UnpicklingError(f'{module}.{name} is not a tensor: refused')

    def persistent_load(self, pid: object) -> _Storage:
        if not (isinstance(pid, tuple) and len(pid) == 5 and pid[0] == 'storage'):
            raise pickle.UnpicklingError(f'persistent id {pid!r} is not a storage: refused')
        return _Storage(pid[1], pid[2])


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """
    Read the tensors of a state dict, or of the one under a key of WRAPPERS.

    path: file in the zip format that torch.save writes since PyTorch 1.6.
    Items that are not tensors are skipped. Raises ValueError if the file is damaged, contains
    objects whose loading executes code, tensors that exceed their storage, or more data than
    MAX_BYTES in all.
    """
    try:
        with open_archive(path) as archive:
            pickles = [name for name in archive.namelist() if name.endswith('/data.pkl')]
            if len(pickles) != 1:
                raise ValueError('not a PyTorch file: data.pkl is missing')
            root = pickles[0].removesuffix('data.pkl')
            if (
                f'{root}byteorder' in archive.namelist()
                and read_member(archive, f'{root}byteorder', MAX_PICKLE) != b'little'
            ):
                raise ValueError('big-endian PyTorch files are not supported')
            state = _unpickle(read_member(archive, pickles[0], MAX_PICKLE))
            storages = _Storages(archive, root)
            return {
                name: _read_array(_check_tensor(tensor, name), name, storages)
                for name, tensor in _state_dict(state).items()
                if isinstance(name, str) and isinstance(tensor, _PickledTensor)
            }
    except DamagedArchiveError as error:
        raise ValueError(
            f'not a PyTorch file of version 1.6 or later ({error}); if it is an older one, '
            'save it again: torch.save(torch.load(PATH), PATH)'
        ) from error


def _unpickle(content: bytes) -> object:
    try:
        for opcode, argument, _ in pickletools.genops(content):
            if opcode.name not in OPCODES:
                raise ValueError(f'{opcode.name} in the pickle')
            # The unpickler allocates a list of that length.
            if opcode.name.endswith('BINPUT') and int(argument or 0) > len(content):
                raise ValueError(f'{opcode.name} {argument} in the pickle')
        return _TensorUnpickler(io.BytesIO(content)).load()
    except PICKLE_ERRORS as error:
        raise ValueError(f'refused: {error}') from error


def _state_dict(state: object) -> dict:
    for key in WRAPPERS:
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict):
        raise ValueError('not a dictionary of tensors')
    return state


class _Storages:
    """The storages in a file, each read once; bounds the bytes of storages and tensors in all."""

    def __init__(self, archive: zipfile.ZipFile, root: str):
        self._archive = archive
        self._root = root
        self._contents: dict[str, bytes] = {}
        self._remaining = MAX_BYTES

    def read(self, key: str) -> bytes:
        if key not in self._contents:
            name = f'{self._root}data/{key}'
            self._contents[key] = read_member(self._archive, name, self._remaining)
            self.reserve(len(self._contents[key]))
        return self._contents[key]

    def reserve(self, size: int) -> None:
        """Count bytes. Raises ValueError if they exceed the bound."""
        if size > self._remaining:
            raise ValueError(f'the tensors have more than {MAX_BYTES} bytes in all')
        self._remaining -= size


def _check_tensor(tensor: _PickledTensor, name: str) -> _Tensor:
    storage, offset, size, stride = tensor
    if not (
        isinstance(storage, _Storage)
        and isinstance(storage.kind, str)
        and storage.kind in STORAGES
        and isinstance(storage.key, str)
        and isinstance(size, tuple)
        and isinstance(stride, tuple)
        and len(size) == len(stride) <= 8
        and all(type(n) is int and 0 <= n <= MAX_BYTES for n in (offset, *size, *stride))
    ):
        raise ValueError(f'{name}: not a tensor as PyTorch writes it')
    return _Tensor(STORAGES[storage.kind], storage.key, cast(int, offset), size, stride)


def _read_array(tensor: _Tensor, name: str, storages: _Storages) -> np.ndarray:
    """Read the data of a tensor. Raises ValueError if the tensor exceeds its storage."""
    dtype, key, offset, size, stride = tensor
    content = storages.read(key)
    elements = np.frombuffer(content[: len(content) // dtype.itemsize * dtype.itemsize], dtype)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    count = prod(size)
    if count > elements.size or (count and last >= elements.size):
        raise ValueError(
            f'{name}: size {size}, stride {stride}, offset {offset} exceed the storage of '
            f'{elements.size} elements'
        )
    if not count:
        return np.empty(size, dtype)
    storages.reserve(count * dtype.itemsize)
    steps = [step * dtype.itemsize for step in stride]
    view = np.lib.stride_tricks.as_strided(elements[offset:], size, steps, writeable=False)
    return view.copy()
