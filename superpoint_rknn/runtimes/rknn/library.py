"""Find and load Rockchip's NPU library."""

from __future__ import annotations

import ctypes
import os
import re
from dataclasses import dataclass
from pathlib import Path

from superpoint_rknn.runtimes.rknn.abi import Abi, abi_of
from superpoint_rknn.runtimes.runtime import RuntimeNotReadyError, RuntimeUnavailableError

# librknn_api.so is a wrapper of librknn_runtime.so; some system images have only the latter.
NAMES = ('librknnrt.so', 'librknn_api.so', 'librknn_runtime.so')
# Folders of vendors' system images that the dynamic loader may not search.
FOLDERS = ('/usr/lib', '/usr/lib64', '/usr/local/lib', '/oem/usr/lib', '/vendor/lib64')
VERSION = re.compile(rb'librknn\w* version:? *([0-9][\w.]*)')


class _SymbolInfo(ctypes.Structure):
    """Dl_info of dladdr(3)."""

    _fields_ = [
        ('file', ctypes.c_char_p),
        ('base', ctypes.c_void_p),
        ('symbol', ctypes.c_char_p),
        ('address', ctypes.c_void_p),
    ]


@dataclass(frozen=True)
class RknnLibrary:
    """A loaded NPU library with declared prototypes."""

    path: str
    abi: Abi
    functions: ctypes.CDLL


@dataclass(frozen=True)
class ProbeResult:
    """Result of trying to load one candidate library."""

    path: str
    generation: int | None  # None if it can't be used
    version: str | None  # from the text of the library file
    reason: str | None  # why it can't be used


def load_library(path: str | Path) -> RknnLibrary:
    """Load one library file or name. Raises RuntimeUnavailableError if it can't be used."""
    try:
        functions = ctypes.CDLL(str(path))
    except OSError as error:
        raise RuntimeUnavailableError(str(error)) from error
    try:
        abi = abi_of(functions)
        if abi is not None:
            abi.bind(functions)
    except AttributeError as error:
        raise RuntimeUnavailableError(f'{path}: too old or damaged, update it: {error}') from error
    except UnicodeDecodeError as error:  # ctypes fails to format "missing function"
        raise RuntimeUnavailableError(
            f'{os.fsencode(path)!r}: the path is not UTF-8, which ctypes needs; move the library'
        ) from error
    if abi is None:
        raise RuntimeUnavailableError(
            f'{path}: has neither rknn_inputs_map nor rknn_dup_context: not an RKNN library, or '
            'too old; update it'
        )
    return RknnLibrary(_file_of(functions) or str(path), abi, functions)


def find_library(path: str | Path | None = None) -> RknnLibrary:
    """
    Load the library at `path`, or the first usable one.

    Raises RuntimeNotReadyError, which lists all libraries that were tried, if none is usable.
    """
    reasons = []
    for candidate in _candidates(path):
        try:
            return load_library(candidate)
        except RuntimeUnavailableError as error:
            reasons.append(str(error))
    raise RuntimeNotReadyError(
        'no usable RKNN library: '
        + '; '.join(reasons)
        + ". Install the board vendor's librknnrt.so (RK3588, RK356x, RK3576, RV1126B) or "
        'librknn_api.so (RV1126, RV1109)'
    )


def probe_libraries(path: str | Path | None = None) -> list[ProbeResult]:
    """Try to load every candidate library; return all results."""
    probes = []
    for candidate in _candidates(path):
        try:
            library = load_library(candidate)
        except RuntimeUnavailableError as error:
            probes.append(ProbeResult(str(candidate), None, None, str(error)))
        else:
            version = library_version(library.path)
            probes.append(ProbeResult(library.path, library.abi.generation, version, None))
    return probes


def library_version(path: str | Path) -> str | None:
    """Read the version from a library file, without loading it; None if not found."""
    try:
        match = VERSION.search(Path(path).read_bytes())
    except OSError:
        return None
    return match.group(1).decode() if match else None


def _candidates(path: str | Path | None) -> list[str]:
    if path is not None:
        return [str(path)]
    files = [Path(folder, name) for name in NAMES for folder in FOLDERS]
    return [*NAMES, *(str(file) for file in files if file.exists())]


def _file_of(functions: ctypes.CDLL) -> str | None:
    """Return the file that a library was loaded from; None on systems without dladdr(3)."""
    info = _SymbolInfo()
    dladdr = getattr(ctypes.CDLL(None), 'dladdr', None)
    if dladdr is None:
        return None
    dladdr.argtypes = [ctypes.c_void_p, ctypes.POINTER(_SymbolInfo)]
    found = dladdr(ctypes.cast(functions.rknn_init, ctypes.c_void_p), ctypes.byref(info))
    return os.fsdecode(info.file) if found and info.file else None
