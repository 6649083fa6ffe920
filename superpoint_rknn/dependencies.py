"""How to install Python packages without replacing those of the Linux distribution."""

from __future__ import annotations

from importlib.metadata import distributions


def pip_install(*packages: str) -> str:
    """
    Command that installs packages and keeps the distribution's NumPy and OpenCV working.

    pip would bring NumPy 2, with which modules that were compiled for NumPy 1, as the
    distribution's OpenCV, can't be imported.
    """
    # All on the path, also one that a newer one hides already.
    versions = [found.version for found in distributions(name='numpy')]
    limit = ["'numpy<2'"] if any(version.startswith('1.') for version in versions) else []
    return ' '.join(['pip install', *packages, *limit])
