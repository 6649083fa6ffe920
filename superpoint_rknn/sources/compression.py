"""Decompress parts of recordings, never to more than a limit."""

from __future__ import annotations

import bz2
import shutil
from collections.abc import Callable
from functools import partial
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from superpoint_rknn.dependencies import pip_install

LARGEST = 2**30  # bytes of a chunk or message, decompressed
PIECE = 2**20  # bytes to decompress at a time
LEAST_FREE = 2**28  # bytes of the disk that an unpacked file leaves
ZSTD_MAGIC = b'\x28\xb5\x2f\xfd'
# The first is Python's own from 3.14 on; rosbags brings one of the others, by its version.
ZSTD_MODULES = ('compression.zstd', 'backports.zstd', 'zstandard')


def decompress(compression: str, data: bytes, size: int = LARGEST, is_cut: bool = False) -> bytes:
    """
    Decompress what a recording states to be compressed.

    compression: zstd, lz4, bz2, none or ''. size: the most bytes that the result may have.
    is_cut: return what precedes the first damage, instead of raising an error for it.
    Raises ValueError if the data are damaged or larger, or for an unknown compression.
    """
    if compression in ('', 'none'):
        return data
    if compression not in STREAMS:
        raise ValueError(f'compression {compression!r} is not supported')
    if size > LARGEST:
        raise ValueError(f'{size} bytes decompressed, expected at most {LARGEST}')
    open_stream, errors = STREAMS[compression]()
    pieces, total = [], 0
    try:
        with open_stream(BytesIO(data)) as stream:
            while piece := stream.read1(PIECE):
                total += len(piece)
                if total > size:
                    raise ValueError(f'more than {size} bytes decompressed')
                pieces.append(piece)
    except errors as error:
        if not is_cut:
            raise ValueError(f'damaged {compression} data: {error}') from error
    return b''.join(pieces)


def unpack(source: Path, target: Path) -> str:
    """
    Decompress a .zstd file to another file, as far as it is readable.

    Returns what is wrong with the rest, '' if the file is complete. Raises ValueError if it
    would fill the disk.
    """
    open_stream, errors = STREAMS['zstd']()
    try:
        with source.open('rb') as raw, open_stream(raw) as stream, target.open('wb') as file:
            while piece := stream.read1(PIECE):
                if shutil.disk_usage(target.parent).free < LEAST_FREE + len(piece):
                    raise ValueError(
                        f'no space to decompress it in {target.parent.parent}: set TMPDIR to a '
                        'folder with more'
                    )
                file.write(piece)
    except errors as error:
        return f'damaged zstd data: {error}'
    return ''


Open = Callable[[BinaryIO], Any]
Errors = tuple[type[Exception], ...]


def _zstd() -> tuple[Open, Errors]:
    """
    Function that opens a zstd stream, and what it raises for damaged data.

    Raises ValueError if no module for zstd is installed.
    """
    for name in ZSTD_MODULES:
        try:
            module = import_module(name)
        except ModuleNotFoundError:
            continue
        errors = (module.ZstdError, EOFError)
        if name != 'zstandard':
            return module.ZstdFile, errors

        open_stream = module.ZstdDecompressor().stream_reader
        return partial(open_stream, read_across_frames=True, closefd=False), errors
    raise ValueError(f'zstd needs zstandard or backports.zstd: {pip_install("zstandard")}')


def _lz4() -> tuple[Open, Errors]:
    try:
        frame = import_module('lz4.frame')
    except ModuleNotFoundError:
        raise ValueError(f'lz4 needs the module lz4: {pip_install("lz4")}') from None
    return frame.open, (RuntimeError, EOFError)


def _bz2() -> tuple[Open, Errors]:
    return bz2.open, (OSError, EOFError, ValueError)


STREAMS: dict[str, Callable[[], tuple[Open, Errors]]] = {'zstd': _zstd, 'lz4': _lz4, 'bz2': _bz2}
