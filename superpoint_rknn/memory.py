"""Memory of a process: what it holds, and whether freed memory stays with it."""

from __future__ import annotations

import ctypes
from pathlib import Path

# mallopt's options in glibc's malloc.h
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


def keep_freed_memory() -> bool:
    """
    Make this process keep freed memory for later arrays; return False if the C library cannot.

    By default, chance decides whether an array of a megabyte causes new page faults each time,
    which doubles the time of code that allocates such arrays.
    """
    mallopt = getattr(ctypes.CDLL(None), 'mallopt', None)
    if mallopt is None:  # not glibc
        return False
    return mallopt(M_MMAP_MAX, 0) == 1 and mallopt(M_TRIM_THRESHOLD, 2**31 - 1) == 1


def resident_mb(pid: int | str = 'self') -> float:
    """
    Memory that a process holds [MB of 10^6 bytes]: its own, and files that it has mapped.

    Memory shared with other processes, as DDS uses it for images, is not counted.
    Raises OSError if there is no such process.
    """
    lines = Path(f'/proc/{pid}/status').read_text(encoding='ascii').splitlines()
    kilobytes = dict(line.split(':', 1) for line in lines)
    return sum(1024e-6 * int(kilobytes[name].split()[0]) for name in ('RssAnon', 'RssFile'))
