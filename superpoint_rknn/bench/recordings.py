"""Recordings: real images and the network's outputs for them, on which steps are measured."""

from __future__ import annotations

import importlib.util
import io
import logging
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from superpoint_rknn.extractor import Extractor
from superpoint_rknn.features.quantization import Quantization
from superpoint_rknn.runtimes.board import detect_soc
from superpoint_rknn.runtimes.model_files import (
    SHIPPED,
    default_model,
    find_weights,
    model_id,
    shipped_models,
    weights_hash,
)
from superpoint_rknn.runtimes.open import open_runtime
from superpoint_rknn.runtimes.runtime import Runtime, RuntimeUnavailableError, TensorSpec
from superpoint_rknn.sources.files import Pictures, Video
from superpoint_rknn.sources.frame import Frame
from superpoint_rknn.sources.open import open_source, thinned

if TYPE_CHECKING:
    from superpoint_rknn.sources.bag import Bag

IMAGES = 8  # of one recording, each in several views
VIEWS = ((0, 0), (2, 3), (4, 6))  # [px] rows and columns cut off, like a camera that moves
PHOTOGRAPHS = (
    'astronaut.png',
    'brick.png',
    'camera.png',
    'chelsea.png',
    'coffee.png',
    'motorcycle_left.png',
    'motorcycle_right.png',
    'rocket.jpg',
)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recording:
    """N model inputs and the network's outputs for each."""

    images: np.ndarray  # (N, H, W) uint8
    logits: np.ndarray  # (N, 65, H/8, W/8) float32
    raw: np.ndarray  # (N, C, H/8, W/8), raw descriptor maps
    quantization: Quantization | None  # of the descriptor maps
    model: str

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the model input [px]."""
        _, height, width = self.images.shape
        return height, width


def recording_path(folder: Path, size: tuple[int, int]) -> Path:
    """File of the recording for a model input of this size."""
    return folder / f'recording_{size[0]}x{size[1]}.npz'


def load_recording(
    folder: Path, size: tuple[int, int], images: Path | None = None, count: int = IMAGES
) -> Recording:
    """
    Read the recording of a size from `folder`; make it if there is none of the current network.

    images: source of the images; None: the photographs of scikit-image's wheel.
    Raises RuntimeUnavailableError or ModelError if no model of this size can be run here,
    ValueError for a damaged recording or source, OSError for files.
    """
    path = recording_path(folder, size)
    if images is None and path.is_file():
        recording = read_recording(path)
        enough = recording.size == size and len(recording.images) >= len(VIEWS) * count
        if enough and _is_current(recording, folder):
            return recording
    runtime = _runtime(folder, size)
    try:
        recording = record(runtime, thinned(_source(images), count))
    finally:
        runtime.close()
    folder.mkdir(parents=True, exist_ok=True)
    write_recording(path, recording)
    return recording


def record(runtime: Runtime, frames: Iterable[Frame]) -> Recording:
    """
    Run the network on the views of images.

    Raises ValueError if there are no images, RuntimeError if the runtime fails.
    """
    extractor = Extractor(runtime)
    images, logits, raws = [], [], []
    for frame, (top, left) in product(frames, VIEWS):
        image = np.array(extractor.model_input(frame.grey()[top:, left:]))
        raw = extractor.new_descriptor_map()
        logits.append(np.array(runtime.infer(image, raw)))
        images.append(image)
        raws.append(raw)
    if not images:
        raise ValueError('no images to record: the source is empty')
    quantization = runtime.descriptors.quantization
    return Recording(
        np.stack(images), np.stack(logits), np.stack(raws), quantization, runtime.model
    )


def read_recording(path: Path) -> Recording:
    """Read a recording. Raises ValueError if the file holds none, OSError if it can't be read."""
    try:
        with np.load(path, allow_pickle=False) as file:
            images, logits, raw = file['images'], file['logits'], file['raw']
            quantization = None
            if raw.dtype != np.float32:
                quantization = Quantization(
                    float(file['scale']), int(file['zero_point']), raw.dtype
                )
            model = str(file['model'])
    except (EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f'{path}: not a recording: {error}; remove it') from error
    count, height, width = images.shape if images.ndim == 3 else (0, 0, 0)
    cells = (height // 8, width // 8)
    if (
        count < 1
        or images.dtype != np.uint8
        or logits.shape != (count, 65, *cells)
        or raw.shape[:1] + raw.shape[2:] != (count, *cells)
    ):
        raise ValueError(f'{path}: not a recording: shapes or dtypes of its arrays; remove it')
    return Recording(images, logits.astype(np.float32, copy=False), raw, quantization, model)


def write_recording(path: Path, recording: Recording) -> None:
    """Write a recording to a file. Raises OSError."""
    content = io.BytesIO()
    fields: dict[str, Any] = {
        'images': recording.images,
        'logits': recording.logits,
        'raw': recording.raw,
        'model': recording.model,
    }
    if recording.quantization is not None:
        fields['scale'] = recording.quantization.scale
        fields['zero_point'] = recording.quantization.zero_point
    np.savez(content, **fields)
    path.write_bytes(content.getvalue())


def _source(images: Path | None) -> Pictures | Video | Bag | list[Frame]:
    if images is not None:
        return open_source(images)
    wheel = importlib.util.find_spec('skimage')
    if wheel is None or not wheel.submodule_search_locations:
        raise ValueError(
            'no images to measure on: scikit-image is not installed; name images with --images, '
            "or copy another machine's recordings to the folder of --recordings"
        )
    folder = Path(wheel.submodule_search_locations[0], 'data')
    return [frame for name in PHOTOGRAPHS for frame in open_source(folder / name)]


def _is_current(recording: Recording, folder: Path) -> bool:
    """True if the network of a recording is shipped, or was made from the shipped weights."""
    name = recording.model.partition('@')[0]
    if name == _quantized_path(folder, recording.size).stem:
        return True  # the name contains the hash of the weights
    files = [shipped_models() / f'{name}{suffix}' for suffix in ('.onnx', '.rknn')]
    return recording.model in [model_id(f, f.read_bytes()) for f in files if f.is_file()]


def _runtime(folder: Path, size: tuple[int, int]) -> Runtime:
    """Open a shipped network of this size, or else one that is quantized for it."""
    model = default_model(detect_soc())
    if '{}x{}'.format(*size) not in model.stem:
        model = _quantized_path(folder, size)
        if not model.is_file():
            _quantize(model, size)
    return open_runtime(model)


def _quantized_path(folder: Path, size: tuple[int, int]) -> Path:
    """File of the network of a size that is quantized from the shipped weights."""
    version = weights_hash(SHIPPED[0])[:8]
    return folder / 'superpoint_{}x{}_u8_of_{}.onnx'.format(*size, version)


def _quantize(model: Path, size: tuple[int, int]) -> None:
    try:
        from superpoint_rknn.quantize.command import quantize
    except ImportError as error:
        raise RuntimeUnavailableError(
            'no network of {}x{}, and none can be made: {}'.format(*size, error)
        ) from error
    log.info('quantizing a network for {}x{}'.format(*size))
    model.parent.mkdir(parents=True, exist_ok=True)
    quantize(find_weights(''), _source(None), model, size)


class RecordedRuntime:
    """
    Runtime that returns recorded outputs in turn, whatever the image, at almost no cost.

    See Runtime.
    """

    input_table: np.ndarray | None = None

    def __init__(self, recording: Recording):
        _, channels, rows, cols = recording.raw.shape
        self.name = 'recording'
        self.model = recording.model
        self.input = TensorSpec('image', (1, 1, *recording.size), np.dtype(np.uint8))
        self.logits = TensorSpec('semi', (1, 65, rows, cols), np.dtype(np.float32))
        self.descriptors = TensorSpec(
            'desc', (1, channels, rows, cols), recording.raw.dtype, recording.quantization
        )
        self.stages_ms: dict[str, float] = {}
        self._outputs = self._cycle(recording)

    @staticmethod
    def _cycle(recording: Recording) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        while True:
            yield from zip(recording.logits, recording.raw, strict=True)

    def infer(self, image: np.ndarray, descriptors: np.ndarray | None) -> np.ndarray:
        """Return the next recorded logits; copy the descriptor map to `descriptors`."""
        logits, raw = next(self._outputs)
        if descriptors is not None:
            np.copyto(descriptors, raw)
        return logits

    def close(self) -> None:
        """Do nothing; no resources are held."""
