"""Real images and what the network makes of them: what the host's steps are measured on."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import logging
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

from superpoint_rknn.extractor import Extractor
from superpoint_rknn.features.quantization import Quantization
from superpoint_rknn.runtimes.board import detect_soc
from superpoint_rknn.runtimes.model_files import default_model, model_id, shipped_models
from superpoint_rknn.runtimes.open import open_runtime
from superpoint_rknn.runtimes.runtime import Runtime, RuntimeUnavailableError, TensorSpec
from superpoint_rknn.sources.frame import Frame
from superpoint_rknn.sources.open import open_source, thinned

IMAGES = 8  # of one recording, each seen several times in a row
VIEWS = ((0, 0), (2, 3), (4, 6))  # [px] rows and columns cut off: the camera moves a little
WEIGHTS = 'superpoint.npz'  # of the shipped networks
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
    """N network images and the network's outputs for each."""

    images: np.ndarray  # (N, H, W) uint8
    logits: np.ndarray  # (N, 65, H/8, W/8) float32
    raw: np.ndarray  # (N, C, H/8, W/8), descriptor maps as the engine gave them
    quantization: Quantization | None  # of the descriptor maps
    model: str

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the network image [px]."""
        return self.images.shape[1:]


def recording_path(folder: Path, size: tuple[int, int]) -> Path:
    """File of the recording of a size."""
    return folder / f'recording_{size[0]}x{size[1]}.npz'


def load_recording(
    folder: Path, size: tuple[int, int], images: Path | None = None, count: int = IMAGES
) -> Recording:
    """
    Recording of a size from `folder`, made and left there if there is none of today's network.

    images: source of the images; None takes the photographs of scikit-image's wheel.
    Raises RuntimeUnavailableError or ModelError if no model of this size can be run here,
    ValueError for a recording or source that isn't one, OSError for files.
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

    Raises ValueError without images, RuntimeError if the engine fails.
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
        raise ValueError('the source holds no images')
    quantization = runtime.descriptors.quantization
    return Recording(*map(np.stack, (images, logits, raws)), quantization, runtime.model)


def read_recording(path: Path) -> Recording:
    """Recording from a file. Raises ValueError if it is none, OSError for what can't be read."""
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
        raise ValueError(f'{path}: not a recording: its arrays do not fit; remove it')
    return Recording(images, logits.astype(np.float32, copy=False), raw, quantization, model)


def write_recording(path: Path, recording: Recording) -> None:
    """Write a recording to a file. Raises OSError."""
    content = io.BytesIO()
    fields = {'images': recording.images, 'logits': recording.logits, 'raw': recording.raw}
    if recording.quantization is not None:
        fields['scale'] = recording.quantization.scale
        fields['zero_point'] = recording.quantization.zero_point
    np.savez(content, model=recording.model, **fields)
    path.write_bytes(content.getvalue())


def _source(images: Path | None) -> Iterable[Frame]:
    if images is not None:
        return open_source(images)
    wheel = importlib.util.find_spec('skimage')
    if wheel is None:
        raise ValueError(
            'no images to measure on: name some with --images, or copy recordings that another '
            'machine made to the folder of --recordings'
        )
    folder = Path(wheel.submodule_search_locations[0], 'data')
    return [frame for name in PHOTOGRAPHS for frame in open_source(folder / name)]


def _is_current(recording: Recording, folder: Path) -> bool:
    """Whether the network of a recording is a shipped one, or made of shipped weights."""
    name = recording.model.partition('@')[0]
    if name == _quantized(folder, recording.size).stem:
        return True  # it tells the weights' version
    files = [shipped_models() / f'{name}{suffix}' for suffix in ('.onnx', '.rknn')]
    return recording.model in [model_id(f, f.read_bytes()) for f in files if f.is_file()]


def _runtime(folder: Path, size: tuple[int, int]) -> Runtime:
    """Engine that runs a network of this size: a shipped one, else one quantised for it."""
    model = default_model(detect_soc())
    if '{}x{}'.format(*size) not in model.stem:
        model = _quantized(folder, size)
        if not model.is_file():
            _quantize(model, size)
    return open_runtime(model)


def _quantized(folder: Path, size: tuple[int, int]) -> Path:
    """Where the network of a size is kept that is quantised from the shipped weights."""
    version = hashlib.sha256((shipped_models() / WEIGHTS).read_bytes()).hexdigest()[:8]
    return folder / 'superpoint_{}x{}_u8_of_{}.onnx'.format(*size, version)


def _quantize(model: Path, size: tuple[int, int]) -> None:
    try:
        from superpoint_rknn.quantize.command import quantize
    except ImportError as error:
        raise RuntimeUnavailableError(
            'no network of {}x{} here, and none can be made: {}'.format(*size, error)
        ) from error
    log.info('quantising the network for {}x{}'.format(*size))
    model.parent.mkdir(parents=True, exist_ok=True)
    quantize(shipped_models() / WEIGHTS, _source(None), model, size)


class RecordedRuntime:
    """
    A network without cost: it answers with what it recorded, whatever image it is given.

    It serves a recording's images in turn; see Runtime.
    """

    input_table = None

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
        self._turns = self._endless(recording)

    @staticmethod
    def _endless(recording: Recording) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        while True:
            yield from zip(recording.logits, recording.raw, strict=True)

    def infer(self, image: np.ndarray, descriptors: np.ndarray | None) -> np.ndarray:
        """Logits of the next recorded image; its descriptor map goes to `descriptors`."""
        logits, raw = next(self._turns)
        if descriptors is not None:
            np.copyto(descriptors, raw)
        return logits

    def close(self) -> None:
        """Nothing is held."""
