"""Recording of `superpoint_rknn doctor --record`: one model input and the NPU's raw outputs."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from superpoint_rknn.analyze.output_errors import Outputs
from superpoint_rknn.archive import open_archive
from superpoint_rknn.features import CELL
from superpoint_rknn.features.quantization import Quantization
from superpoint_rknn.files import read_regular

MAX_BYTES = 96 << 20  # of one array as float32; the descriptors of a 1080p image take 33 MB
MAX_REPORT = 1 << 22  # [bytes]
CHANNELS = CELL * CELL + 1


@dataclass(frozen=True)
class BoardRecord:
    """One inference on a board."""

    image: np.ndarray  # (H, W) uint8, the model input
    logits: np.ndarray  # (65, H/8, W/8) float32
    descriptors: np.ndarray  # (C, H/8, W/8) raw
    quantization: Quantization | None  # of the descriptors; None: they are floats
    engine: str
    model: str

    @property
    def outputs(self) -> Outputs:
        """Dequantized outputs."""
        if self.quantization is None:
            return Outputs(self.logits, self.descriptors.astype(np.float32))
        return Outputs(self.logits, self.quantization.dequantize(self.descriptors))


def read_record(folder: Path) -> BoardRecord:
    """
    Read outputs.npz and report.json from a folder; neither is trusted.

    Raises OSError if one is missing, ValueError if they are damaged or do not match.
    """
    folder = Path(folder)
    for name in ('outputs.npz', 'report.json'):
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f'{folder}: no {name}: record it on the board with superpoint_rknn doctor --record'
            )
    try:
        arrays = _arrays(folder / 'outputs.npz')
    except ValueError as error:
        raise ValueError(f'{folder / "outputs.npz"}: {error}') from error
    try:
        report = json.loads(read_regular(folder / 'report.json', MAX_REPORT))
        runtime = report['runtime']
        quantization = _quantization(runtime['tensors'][2], arrays['descriptors'].dtype)
        engine, model = str(runtime['engine']), str(runtime['model'])
    except (IndexError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(
            f'{folder / "report.json"}: not a report of superpoint_rknn doctor: {error!r}'
        ) from error
    return BoardRecord(**arrays, quantization=quantization, engine=engine, model=model)


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """Image, logits and descriptors of matching shapes."""
    with open_archive(path) as archive:
        image = _array(archive, 'image', 2, 'uint8')
        height, width = image.shape
        if min(height, width) < CELL or height % CELL or width % CELL:
            raise ValueError(f'image: {height}x{width} is not divisible by {CELL}')
        cells = (height // CELL, width // CELL)
        logits = _array(archive, 'logits', 3, 'float32')
        descriptors = _array(archive, 'descriptors', 3, 'uint8', 'int8', 'float32', 'float16')
    if logits.shape != (CHANNELS, *cells):
        raise ValueError(
            f'logits: {logits.shape}, expected {(CHANNELS, *cells)} for an image of '
            f'{height}x{width}'
        )
    if descriptors.shape[1:] != cells:
        raise ValueError(
            f'descriptors: {descriptors.shape}, expected (C, {cells[0]}, {cells[1]}) for an '
            f'image of {height}x{width}'
        )
    for name, array in (('logits', logits), ('descriptors', descriptors)):
        if not np.isfinite(array).all():
            raise ValueError(f'{name}: contains values that are not finite')
    return {'image': image, 'logits': logits, 'descriptors': descriptors}


def _array(archive: zipfile.ZipFile, name: str, dimensions: int, *dtypes: str) -> np.ndarray:
    """Read an array; its type and size are checked before memory is allocated."""
    with archive.open(f'{name}.npy') as file:
        version = np.lib.format.read_magic(file)
        if version != (1, 0):
            raise ValueError(f'{name}: format {version}, expected (1, 0)')
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    if dtype not in [np.dtype(kind) for kind in dtypes]:
        raise ValueError(f'{name}: {dtype}, expected {" or ".join(dtypes)}')
    if len(shape) != dimensions or min(shape) < 1 or prod(shape) * 4 > MAX_BYTES:
        raise ValueError(
            f'{name}: shape {shape}, expected {dimensions} axes and at most {MAX_BYTES // 4} '
            'elements'
        )
    with archive.open(f'{name}.npy') as file:
        return np.ascontiguousarray(np.lib.format.read_array(file, allow_pickle=False))


def _quantization(tensor: dict, dtype: np.dtype) -> Quantization | None:
    if dtype.kind == 'f':
        return None
    if type(tensor['zero_point']) is not int:
        raise ValueError(f'zero_point {tensor["zero_point"]!r} is not an integer')
    return Quantization(float(tensor['scale']), tensor['zero_point'], dtype)
