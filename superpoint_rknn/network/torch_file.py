"""Tensors of a PyTorch file, read without PyTorch and without trusting the file."""

from __future__ import annotations

import io
import pickle
import pickletools
import zipfile
from collections import OrderedDict
from math import prod
from pathlib import Path
from typing import NamedTuple

import numpy as np

STORAGES = {
    'DoubleStorage': np.dtype('<f8'),
    'FloatStorage': np.dtype('<f4'),
    'HalfStorage': np.dtype('<f2'),
    'LongStorage': np.dtype('<i8'),
    'IntStorage': np.dtype('<i4'),
}
MAX_BYTES = 256 << 20  # of one storage, and of the pickle; a SuperPoint takes 5 MB in all
# What PyTorch writes a dictionary of tensors with.
OPCODES = {
    *('PROTO', 'MARK', 'STOP', 'GLOBAL', 'REDUCE', 'BUILD', 'BINPERSID'),
    *('BINPUT', 'LONG_BINPUT', 'BINGET', 'LONG_BINGET'),
    *('EMPTY_DICT', 'SETITEM', 'SETITEMS', 'EMPTY_LIST', 'APPEND', 'APPENDS'),
    *('EMPTY_TUPLE', 'TUPLE', 'TUPLE1', 'TUPLE2', 'TUPLE3', 'BINUNICODE'),
    *('BININT', 'BININT1', 'BININT2', 'LONG1', 'BINFLOAT', 'NONE', 'NEWTRUE', 'NEWFALSE'),
}
# What the unpickler raises at damaged or hostile files, by its documentation and by trial.
PICKLE_ERRORS = (
    *(pickle.UnpicklingError, AttributeError, EOFError, ImportError, IndexError, KeyError),
    *(MemoryError, OverflowError, RecursionError, TypeError, ValueError),
)


class _Storage(NamedTuple):
    kind: str
    key: str


class _Tensor(NamedTuple):
    """A tensor as the pickle describes it, unchecked; no memory stands behind it yet."""

    storage: object
    offset: object
    size: object
    stride: object


class _TensorUnpickler(pickle.Unpickler):
    """Admits dictionaries of tensors, and turns tensors into descriptions of themselves."""

    def find_class(self, module: str, name: str) -> object:
        if (module, name) == ('collections', 'OrderedDict'):
            return OrderedDict
        if (module, name) == ('torch._utils', '_rebuild_tensor_v2'):
            # Made anew each time: a pickle may set attributes of what it is handed.
            return lambda storage, offset, size, stride, *_: _Tensor(storage, offset, size, stride)
        if module == 'torch' and name in STORAGES:
            return name  # nothing that could be called
        raise pickle.UnpicklingError(f'{module}.{name} is no tensor: refused')

    def persistent_load(self, pid: object) -> _Storage:
        if not (isinstance(pid, tuple) and len(pid) == 5 and pid[0] == 'storage'):
            raise pickle.UnpicklingError(f'persistent id {pid!r} is no storage: refused')
        return _Storage(pid[1], pid[2])


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """
    Tensors of a state dict, or of one kept under 'model' or 'state_dict', in a .pth file as
    torch.save writes it since 1.6 (a zip file).

    Whatever is no tensor is left out. Raises ValueError if the file is damaged, holds anything
    that would have to be executed, or tensors that reach beyond their storage.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            pickles = [name for name in archive.namelist() if name.endswith('/data.pkl')]
            if len(pickles) != 1:
                raise ValueError('no PyTorch file: data.pkl is missing')
            root = pickles[0].removesuffix('data.pkl')
            if (
                f'{root}byteorder' in archive.namelist()
                and _read(archive, f'{root}byteorder') != b'little'
            ):
                raise ValueError('big-endian PyTorch files are not supported')
            state = _unpickle(_read(archive, pickles[0]))
            return {
                name: _materialise(tensor, name, archive, root)
                for name, tensor in _state_dict(state).items()
                if isinstance(name, str) and isinstance(tensor, _Tensor)
            }
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise ValueError(f'no PyTorch file of version 1.6 or later: {error}') from error


def _unpickle(content: bytes) -> object:
    try:
        for opcode, argument, _ in pickletools.genops(content):
            if opcode.name not in OPCODES:
                raise ValueError(f'{opcode.name} in the pickle')
            # The unpickler makes a list of that length.
            if opcode.name.endswith('BINPUT') and argument > len(content):
                raise ValueError(f'{opcode.name} {argument} in the pickle')
        return _TensorUnpickler(io.BytesIO(content)).load()
    except PICKLE_ERRORS as error:
        raise ValueError(f'refused: {error}') from error


def _state_dict(state: object) -> dict:
    for key in ('model', 'state_dict'):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict):
        raise ValueError('no dictionary of tensors')
    return state


def _read(archive: zipfile.ZipFile, name: str) -> bytes:
    try:
        size = archive.getinfo(name).file_size
    except KeyError as error:
        raise ValueError(f'{name} is missing in the file') from error
    if size > MAX_BYTES:
        raise ValueError(f'{name} holds {size} bytes, more than {MAX_BYTES}')
    return archive.read(name)


def _materialise(tensor: _Tensor, name: str, archive: zipfile.ZipFile, root: str) -> np.ndarray:
    """Array of a tensor; ValueError if it isn't within its storage."""
    storage, offset, size, stride = tensor
    if not (
        isinstance(storage, _Storage)
        and storage.kind in STORAGES
        and isinstance(storage.key, str)
        and isinstance(size, tuple)
        and isinstance(stride, tuple)
        and len(size) == len(stride) <= 8
        and all(type(number) is int and number >= 0 for number in (offset, *size, *stride))
    ):
        raise ValueError(f'{name}: not a tensor that PyTorch would write')
    dtype = STORAGES[storage.kind]
    content = _read(archive, f'{root}data/{storage.key}')
    elements = np.frombuffer(content[: len(content) // dtype.itemsize * dtype.itemsize], dtype)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if prod(size) > elements.size or (prod(size) and last >= elements.size):
        raise ValueError(
            f'{name}: size {size}, stride {stride}, offset {offset} reach beyond the storage of '
            f'{elements.size} elements'
        )
    if not prod(size):
        return np.empty(size, dtype)
    steps = [step * dtype.itemsize for step in stride]
    view = np.lib.stride_tricks.as_strided(elements[offset:], size, steps, writeable=False)
    return view.copy()
