"""Files that are either written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def check_output(path: Path | None, suffix: str) -> None:
    """Raise OSError or ValueError, before the long work, if a file can't be written later."""
    if path is None:
        return
    if path.suffix != suffix:
        raise ValueError(f'{path}: expected a name that ends in {suffix}')
    if not os.access(path.parent, os.W_OK | os.X_OK) or path.is_dir():
        raise FileNotFoundError(f'{path}: no such folder, or it is not writable')


def write_atomically(path: Path, content: bytes) -> None:
    """
    Write a file so that an interruption leaves the old one, or none, but never half of the new.

    Raises OSError, a full disk included.
    """
    path = Path(path)
    handle, temporary = tempfile.mkstemp(prefix=f'.{path.name}.', dir=path.parent)
    try:
        with os.fdopen(handle, 'wb') as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())  # mkstemp's files are the owner's alone
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
