"""Memory of a process: its size, and the policy for freed memory."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Sequence
from pathlib import Path

# Options of mallopt, from glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
RESIDENT = ('RssAnon', 'RssFile')


def keep_freed_memory() -> bool:
    """
    Make this process keep freed memory for later arrays; return False if the C library can't.

    By default, glibc may return the memory of arrays of a megabyte to the system each time. Then
    each new array causes page faults, which doubles the time of code that allocates such arrays.
    """
    mallopt = getattr(ctypes.CDLL(None), 'mallopt', None)
    if mallopt is None:  # not glibc
        return False
    return mallopt(M_MMAP_MAX, 0) == 1 and mallopt(M_TRIM_THRESHOLD, 2**31 - 1) == 1


def return_freed_memory() -> None:
    """Free unreachable objects; return freed memory to the system, if the C library can."""
    gc.collect()  # the arrays of objects that refer to each other may be many megabytes
    trim = getattr(ctypes.CDLL(None), 'malloc_trim', None)
    if trim is not None:  # glibc
        trim(0)


def resident_mb(pid: int | str = 'self', kinds: Sequence[str] = RESIDENT) -> float:
    """
    Return the resident memory of a process [MB, 10^6 bytes].

    kinds: lines of /proc/PID/status, by default anonymous memory and mapped files; how much of a
    mapped file is resident depends on the page cache. Shared memory, which DDS uses for images, is
    not counted.
    Raises OSError if there is no such process.
    """
    lines = Path(f'/proc/{pid}/status').read_text(encoding='ascii').splitlines()
    kilobytes = dict(line.split(':', 1) for line in lines)
    return sum(1024e-6 * int(kilobytes[name].split()[0]) for name in kinds)
