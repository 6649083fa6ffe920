"""Whether NumPy and OpenCV work, and how to install packages without breaking them."""

from __future__ import annotations

from contextlib import redirect_stderr, suppress
from importlib import import_module
from io import StringIO
from typing import Any

MATPLOTLIB = (3, 7)  # the first version with legends outside of the axes
REMEDY = (
    'sudo apt install python3-numpy python3-opencv, or in a virtual environment '
    'pip install numpy opencv-python-headless'
)


def pip_install(*packages: str) -> str:
    """
    Command that installs packages and keeps the distribution's NumPy and OpenCV working.

    pip would bring NumPy 2, with which modules that were compiled for NumPy 1, as the
    distribution's OpenCV, can't be imported.
    """
    limit = ["'numpy<2'"] if any(v.startswith('1.') for v in _numpy_versions()) else []
    return ' '.join(['pip install', *packages, *limit])


def check_matplotlib() -> None:
    """Raise RuntimeError if charts can't be drawn: call it before long work."""
    found: tuple[Any, ...] = ()
    with suppress(ImportError):
        found = import_module('matplotlib').__version_info__
    if found < MATPLOTLIB:
        oldest = '.'.join(map(str, MATPLOTLIB))
        remedy = pip_install(f"'matplotlib>={oldest}'")
        raise RuntimeError(f'charts need matplotlib {oldest} or newer: {remedy}')


def import_problem() -> str:
    """Why NumPy or OpenCV can't be imported, and the remedy; '' if both can."""
    try:
        with redirect_stderr(StringIO()):  # NumPy explains a mismatch there, with a traceback
            import_module('numpy')
            import_module('cv2')
    except ModuleNotFoundError as error:
        if error.name not in ('numpy', 'cv2'):
            return f'NumPy or OpenCV needs {error.name}: {REMEDY}'
        return f'{error.name} is not installed: {REMEDY}'
    except (ImportError, AttributeError) as error:
        newest = max(_numpy_versions(), default='')
        if 'numpy' in str(error).lower() or '_ARRAY_API' in str(error):
            return (
                f'OpenCV can not be imported with NumPy {newest}; it is compiled for another '
                "version: pip install 'numpy<2'"
            )
        return f'NumPy or OpenCV can not be imported ({error}): {REMEDY}'
    return ''


def _numpy_versions() -> list[str]:
    """Return the versions on the path, also of one that another hides."""
    from importlib.metadata import distributions  # not needed to start a node

    return [found.version for found in distributions(name='numpy')]
