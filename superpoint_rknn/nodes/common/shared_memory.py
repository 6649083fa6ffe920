"""Shared memory: whether it is full, and what killed processes left there."""

from __future__ import annotations

import fcntl
import os
import re
import time
from pathlib import Path

FOLDER = Path('/dev/shm')
LOCK = re.compile(r'fast(?:dds|rtps)_[0-9a-f]{16}_el')  # Fast DDS 3 or 2 holds it while it lives
LEAST_FREE = 16384  # [bytes]
MIN_AGE = 1.0  # [s] of a lock file: a younger one may not be locked yet


def shared_memory_problem(folder: Path = FOLDER) -> str:
    """
    Why rclpy can't be imported if the shared memory is full; '' if it is not.

    LTTng, which ROS loads for tracing, then ends the process with SIGBUS, without a message.
    """
    try:
        status = os.statvfs(folder)
    except OSError:  # no shared memory on this system
        return ''
    if status.f_bavail * status.f_frsize >= LEAST_FREE:
        return ''
    return f'{folder} is full: remove files there, or mount it with a larger size'


def remove_dead_segments(folder: Path = FOLDER) -> int:
    """
    Remove the segments of Fast DDS whose process was killed; return their size [bytes].

    Only those of this user, and only where an exclusive lock on the lock file can be taken, which
    is the rule of `fastdds shm clean`. A killed process can not remove its segment of 34 MB.
    """
    try:
        names = [name for name in os.listdir(folder) if LOCK.fullmatch(name)]
    except OSError:  # no shared memory on this system, or none for this user
        return 0
    return sum(_remove_if_dead(folder / name) for name in names)


def _remove_if_dead(lock: Path) -> int:
    segment = lock.with_name(lock.name.removesuffix('_el'))
    try:
        handle = os.open(lock, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # removed meanwhile, or of another user
        return 0
    try:
        status = os.fstat(handle)
        if status.st_uid != os.geteuid() or time.time() - status.st_mtime < MIN_AGE:
            return 0
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        size = segment.stat().st_size if segment.exists() else 0
        segment.unlink(missing_ok=True)
        lock.unlink(missing_ok=True)
        return size
    except OSError:  # locked: the process is alive; or removed meanwhile
        return 0
    finally:
        os.close(handle)
