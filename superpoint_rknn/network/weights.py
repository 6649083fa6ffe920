"""Readers of the weights of a SuperPoint network."""

from __future__ import annotations

import logging
import zipfile
from pathlib import Path

import numpy as np

from superpoint_rknn.network.network import IMAGE, LAYERS, Weights
from superpoint_rknn.network.onnx_weights import read_onnx_weights
from superpoint_rknn.network.rpautrat import from_rpautrat
from superpoint_rknn.network.torch_file import read_tensors
from superpoint_rknn.runtimes.model_files import read_card

log = logging.getLogger(__name__)


def load_weights(path: Path, std: float | None = None) -> Weights:
    """
    Read weights from a file, which is not trusted.

    path: .npz in the format of this package, .onnx of a float network of convolutions, or .pth
    with a state dict of rpautrat/SuperPoint.
    std: divisor of the grey values 0..255 before the network of an .npz or .onnx file, which is
    folded into the first layer; None: that of the model card, else 1.
    Raises ValueError or ModelError if the file is not a SuperPoint, OSError if it cannot be read.
    """
    path = Path(path)
    try:
        if path.suffix == '.pth':
            return from_rpautrat(read_tensors(path))
        if path.suffix not in ('.npz', '.onnx'):
            raise ValueError(f'weights must be .npz, .onnx or .pth, not {path.suffix!r}')
        weights = read_npz(path) if path.suffix == '.npz' else read_onnx_weights(path)
        return _for_raw_grey(weights, _input_std(path) if std is None else std)
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from error


def read_npz(path: Path) -> Weights:
    """Read arrays named `conv1a.weight`, `conv1a.bias`, ...; float32, NCHW."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
    except (zipfile.BadZipFile, EOFError, AttributeError) as error:
        raise ValueError(f'not a NumPy archive: {error}') from error
    names = [layer.name for layer in LAYERS]
    return Weights(
        {name: found[f'{name}.weight'] for name in names if f'{name}.weight' in found},
        {name: found[f'{name}.bias'] for name in names if f'{name}.bias' in found},
    )


def load_for_8_bits(path: Path, std: float | None = None) -> Weights:
    """
    Read weights and fold the floors, which 8-bit runtimes lack; warn if that is not exact.

    path, std, errors: see load_weights.
    """
    weights = load_weights(path, std)
    if not weights.floors:
        return weights
    log.warning(
        f'{path}: batch normalization after ReLU is folded approximately for 8 bits: '
        'the quantized network differs from the float network near the image border'
    )
    return without_floors(weights)


def without_floors(weights: Weights) -> Weights:
    """
    Replace floors by ReLU, which 8-bit runtimes support.

    max(x, t) = relu(x - t) + t: t is folded into the biases of this layer and of the next ones.
    This is exact except near the border, since the next convolution pads with 0 instead of t.
    """
    biases = dict(weights.biases)
    for layer in LAYERS:
        if layer.source in weights.floors:
            gain = weights.kernels[layer.name].sum((2, 3), dtype=np.float64)
            shift = gain @ weights.floors[layer.source]
            biases[layer.name] = (biases[layer.name] + shift).astype(np.float32)
    for name, floor in weights.floors.items():
        biases[name] = biases[name] - floor
    return Weights(weights.kernels, biases)


def _input_std(path: Path) -> float:
    stated = read_card(path).get('input', {})
    try:
        mean, std = float(stated.get('mean', 0)), float(stated.get('std', 1))
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f'model card: input: {error}') from error
    if mean:
        raise ValueError(f'model card: input mean {mean}: only 0 can be folded into the network')
    return std


def _for_raw_grey(weights: Weights, std: float) -> Weights:
    if not 0 < std < np.inf:
        raise ValueError(f'input std {std} is not positive')
    first = next(layer.name for layer in LAYERS if layer.source == IMAGE)
    kernel = (weights.kernels[first] / std).astype(np.float32)
    return Weights({**weights.kernels, first: kernel}, weights.biases, weights.floors)
