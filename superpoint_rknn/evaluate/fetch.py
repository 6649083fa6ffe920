"""Fetch the pictures of the protocol that Debian's opencv-doc contains."""

from __future__ import annotations

from pathlib import Path

from superpoint_rknn.evaluate.scenes import INSTALLED, OPENCV, scene_files
from superpoint_rknn.fetch.archive import checked_files
from superpoint_rknn.fetch.fetch import cache_folder, fetch
from superpoint_rknn.fetch.package import Package
from superpoint_rknn.files import write_atomically

# Debian 12's 4.6.0 and Debian 13's 4.10.0 have the same pictures.
PACKAGE = Package(OPENCV, 'deb', version='', size=150_000_000, release='bookworm')


def fetch_scenes() -> Path:
    """
    Fetch the scenes of opencv-doc that are missing; returns the folder that has them.

    The package (96 MB) is not installed, and only its scenes (5 MB) are kept.
    Raises FetchError, with what to do, if the package cannot be fetched, ValueError if a scene is
    missing in it or differs from the protocol.
    """
    folder = cache_folder(OPENCV)
    files = [*scene_files(), *scene_files('real_pair'), *scene_files('stereo')]
    missing = [file for file in files if file.package == OPENCV and file.locate() is None]
    if not missing:
        return folder
    root = INSTALLED.relative_to('/')
    paths = {str(root / file.path): file for file in missing}
    package = fetch(PACKAGE, cache_folder('packages'))
    try:
        for path, content in checked_files(package, {p: f.sha256 for p, f in paths.items()}):
            target = folder / paths[path].path
            target.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(target, content)
    finally:
        package.unlink()
    return folder
