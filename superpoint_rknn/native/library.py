"""Find and load the shared library of the native functions, built by CMake from features.c."""

from __future__ import annotations

import ctypes
import functools
import logging
import platform
import sys
from collections.abc import Iterable
from pathlib import Path

import superpoint_rknn

FILE_NAME = 'libsuperpoint_features.so'
INTERFACE_VERSION = 3  # of features.c
AT_HWCAP = 16  # of getauxval
ARM_NEON, ARM_VFPV4 = 1 << 12, 1 << 16  # bits of AT_HWCAP on 32-bit ARM

log = logging.getLogger(__name__)


class LibraryUnavailableError(Exception):
    """The library cannot be used; the message says why and what to do."""


class Settings(ctypes.Structure):
    """The struct Settings of features.c."""

    _fields_ = [
        ('threshold', ctypes.c_float),
        *(
            (name, ctypes.c_int32)
            for name in ('radius', 'most', 'border', 'grid_rows', 'grid_cols', 'subpixel')
        ),
    ]


def library() -> ctypes.CDLL | None:
    """Return the library, loaded once; None if it cannot be used, which is logged once."""
    return _loaded()[0]


def implementation() -> str:
    """Return what decodes and describes: 'native (file)' or 'NumPy (reason)'."""
    return _loaded()[1]


@functools.cache
def _loaded() -> tuple[ctypes.CDLL | None, str]:
    try:
        loaded = load_library(superpoint_rknn.__path__)
    except LibraryUnavailableError as error:
        log.warning('decode and describe run in NumPy, several times slower: %s', error)
        return None, f'NumPy ({error})'
    log.info('decode and describe run in %s', loaded._name)
    return loaded, f'native ({loaded._name})'


def load_library(package_path: Iterable[str]) -> ctypes.CDLL:
    """
    Load the library from one of the folders of the package.

    package_path: `__path__` of the package. In an editable install the library lies beside the
    generated messages, not in the checkout.
    Raises LibraryUnavailableError.
    """
    _require_neon()
    folders = list(package_path)
    for path in (Path(folder, 'native', FILE_NAME) for folder in folders):
        if path.is_file():
            return _open(path)
    raise LibraryUnavailableError(
        f'native/{FILE_NAME} is in none of {", ".join(folders)}: build the package with colcon '
        'or pip'
    )


def _require_neon() -> None:
    """Raise LibraryUnavailableError on a 32-bit ARM CPU without the vector unit that it needs."""
    if sys.maxsize > 2**32 or not platform.machine().startswith(('arm', 'aarch64')):
        return
    getauxval = ctypes.CDLL(None).getauxval
    getauxval.argtypes, getauxval.restype = [ctypes.c_ulong], ctypes.c_ulong
    if ~getauxval(AT_HWCAP) & (ARM_NEON | ARM_VFPV4):
        raise LibraryUnavailableError('the CPU has no NEON with VFPv4')


def _open(path: Path) -> ctypes.CDLL:
    """Load the library from a file and declare its functions."""
    try:
        opened = ctypes.CDLL(str(path))
        version = opened.superpoint_interface_version()
    except (OSError, AttributeError) as error:
        raise LibraryUnavailableError(f'{path}: {error}: build the package again') from error
    if version != INTERFACE_VERSION:
        raise LibraryUnavailableError(
            f'{path} has interface version {version}, expected {INTERFACE_VERSION}: build the '
            'package again'
        )
    number, pointer = ctypes.c_int, ctypes.c_void_p
    for name, result, arguments in (
        ('superpoint_decoder_create', pointer, [number] * 2),
        ('superpoint_decoder_destroy', None, [pointer]),
        ('superpoint_decode', number, [pointer] * 5),
        ('superpoint_refine', None, [pointer, number, number, number, pointer, pointer]),
        ('superpoint_sampler_create', pointer, [number] * 5),
        ('superpoint_sampler_destroy', None, [pointer]),
        ('superpoint_describe', None, [pointer, pointer, number, pointer, pointer, pointer]),
    ):
        function = getattr(opened, name)
        function.restype, function.argtypes = result, arguments
    return opened
