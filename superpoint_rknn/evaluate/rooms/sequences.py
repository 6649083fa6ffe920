"""
Rendered sequences of a camera and an IMU that move through a room, with the truth.

easy: calm, steady light. fast: fast, with motion blur. elight: the path of easy in changing
light. loop: returns to its start and passes it. rest: begins at rest. tuning: only to choose
parameters, never reported; another path and room, with motion blur and changing light.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from superpoint_rknn.evaluate.rooms import camera, exposure, imu, paths
from superpoint_rknn.evaluate.rooms.room import Room, cast
from superpoint_rknn.evaluate.scenes import poster_pictures
from superpoint_rknn.fetch.fetch import cache_folder
from superpoint_rknn.files import write_atomically
from superpoint_rknn.quantize.calibration import Progress

RATE = 20  # [Hz] of the images
SECONDS = 20.0  # duration of a sequence
START_NS = 1_000_000_000_000  # stamp of the first image [ns]


@dataclass(frozen=True)
class Description:
    """What is rendered. shutter: exposure time [s], 0: no motion blur. room, noise: seeds."""

    path: paths.Path
    room: int
    noise: int
    shutter: float = 0.0
    light: Callable[[float], float] = exposure.steady_light
    density: float = 0.9  # posters per square metre of a wall


DESCRIPTIONS = {
    'easy': Description(paths.EASY, room=1, noise=101),
    'fast': Description(paths.FAST, room=2, noise=102, shutter=0.02),
    'elight': Description(paths.EASY, room=1, noise=109, light=exposure.changing_light),
    'loop': Description(paths.LOOP, room=3, noise=103),
    'rest': Description(paths.REST, room=1, noise=107),
    'tuning': Description(
        paths.TUNING, room=5, noise=105, shutter=0.012, light=exposure.tuning_light
    ),
}


@dataclass(frozen=True)
class RenderedSequence:
    """
    Images of a camera on a body, and the true motion.

    images: (N, height, width) uint8. Frames: world, body and camera as in paths.py and camera.py.
    """

    name: str
    images: np.ndarray

    @property
    def times(self) -> np.ndarray:
        """Times of the images, (N,) [s] since the first."""
        return np.arange(len(self.images)) / RATE

    @property
    def stamps_ns(self) -> list[int]:
        """Stamps of the images [ns]."""
        return [START_NS + number * (1_000_000_000 // RATE) for number in range(len(self.images))]

    @cached_property
    def body_poses(self) -> np.ndarray:
        """True transforms from body to world, (N, 4, 4)."""
        return DESCRIPTIONS[self.name].path.poses(self.times)

    @cached_property
    def camera_poses(self) -> np.ndarray:
        """True transforms from camera to world, (N, 4, 4)."""
        return self.body_poses @ camera.BODY_FROM_CAMERA

    def imu(self, seed: int | None) -> imu.ImuSamples:
        """Measurements of the IMU in the body frame; seed: of noise and bias, None: without."""
        return imu.measure(DESCRIPTIONS[self.name].path, len(self.images) / RATE, seed)

    def surface_points(self, number: int, pixels: np.ndarray) -> np.ndarray:
        """Return the points of the room at pixels (N, 2) of an image, (N, 3) in the world [m]."""
        pose = self.camera_poses[number]
        rays = camera.rays(pixels) @ pose[:3, :3].T
        depths, _ = cast(pose[:3, 3], rays)
        return pose[:3, 3] + depths[:, None] * rays

    def project(self, number: int, points: np.ndarray) -> np.ndarray:
        """Return the pixels of points (N, 3) of the world, (N, 2); NaN behind the camera."""
        pose = self.camera_poses[number]
        return camera.project((points - pose[:3, 3]) @ pose[:3, :3])

    def project_each(self, numbers: Sequence[int], point: np.ndarray) -> np.ndarray:
        """Return the pixels of a point (3,) of the world in images, (N, 2); NaN behind them."""
        poses = self.camera_poses[numbers]
        return camera.project(np.einsum('nji,nj->ni', poses[:, :3, :3], point - poses[:, :3, 3]))


def open_sequence(
    name: str, seconds: float = SECONDS, cache: Path | None = None, progress: Progress = iter
) -> RenderedSequence:
    """
    Return a sequence: the first `seconds` of it, from the cache or rendered.

    cache: folder; None: the user's. It has one file of up to 103 MB for each name.
    Raises ValueError for an unknown name or duration, FileNotFoundError, with the command that
    fetches them, if pictures are missing, OSError if the cache is not writable.
    """
    if name not in DESCRIPTIONS:
        raise ValueError(f'sequence {name!r}: expected one of {", ".join(DESCRIPTIONS)}')
    count = round(seconds * RATE)
    if not 1 <= count <= SECONDS * RATE:
        raise ValueError(f'{seconds:g} seconds of {name}: expected {1 / RATE:g} to {SECONDS:g}')
    pictures = poster_pictures()
    path = (cache_folder('rooms') if cache is None else cache) / f'{name}.npz'
    key = _key(name, pictures)
    images = _read(path, key)
    if images is None or len(images) < count:
        images = render(DESCRIPTIONS[name], pictures, count, progress)
        path.parent.mkdir(parents=True, exist_ok=True)
        content = io.BytesIO()
        np.savez(content, key=key, images=images)
        write_atomically(path, content.getvalue())
    return RenderedSequence(name, images[:count])


def render(
    description: Description, pictures: Sequence[np.ndarray], count: int, progress: Progress
) -> np.ndarray:
    """Render the first images of a sequence, (count, height, width) uint8; deterministic."""
    room = Room(pictures, description.room, description.density)
    times = np.arange(count) / RATE
    poses = description.path.poses(times) @ camera.BODY_FROM_CAMERA
    rates = description.path.angular_rates(times) @ camera.BODY_FROM_CAMERA[:3, :3]
    images = np.empty((count, *camera.SIZE), np.uint8)
    for number in progress(range(count)):
        view = room.render(poses[number])
        if description.shutter:
            view = exposure.blurred(view, rates[number], description.shutter)
        rng = np.random.default_rng([description.noise, number])
        images[number] = exposure.exposed(view, description.light(times[number]), rng)
    return images


def _key(name: str, pictures: Sequence[np.ndarray]) -> str:
    """Hash of all that the images of a sequence depend on, without libraries."""
    digest = hashlib.sha256(name.encode())
    for module in ('camera', 'exposure', 'paths', 'room', 'sequences'):
        digest.update(Path(__file__).with_name(f'{module}.py').read_bytes())
    for picture in pictures:
        digest.update(picture.tobytes())
    return digest.hexdigest()


def _read(path: Path, key: str) -> np.ndarray | None:
    """Read images from the cache; None if there are none, of another key, or damaged."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            return stored['images'] if stored['key'] == key else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):  # rendered again
        return None
