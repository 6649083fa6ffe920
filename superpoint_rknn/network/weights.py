"""Weights of a SuperPoint network from a file."""

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
    Weights from a file of the package's own format (.npz), a float network of plain convolutions
    (.onnx), or a state dict of rpautrat/SuperPoint's layout (.pth); none is trusted.

    std: what grey values 0..255 are divided by to be the input of an .npz's or .onnx's network;
    None: as its model card says, else 1. It is folded into the first layer.
    Raises ValueError or ModelError if they are not those of a SuperPoint, OSError if the file
    can't be read.
    """
    path = Path(path)
    try:
        if path.suffix == '.pth':
            return from_rpautrat(read_tensors(path))
        if path.suffix not in ('.npz', '.onnx'):
            raise ValueError(f'weights come as .npz, .onnx or .pth, not {path.suffix!r}')
        weights = read_npz(path) if path.suffix == '.npz' else read_onnx_weights(path)
        return _for_raw_grey(weights, _input_std(path) if std is None else std)
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from error


def read_npz(path: Path) -> Weights:
    """Weights from arrays named `conv1a.weight`, `conv1a.bias`, ...; float32, NCHW."""
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
    Weights as 8-bit engines compute them, without floors; a warning where that isn't exact.

    path, std: see load_weights. Raises what load_weights does.
    """
    weights = load_weights(path, std)
    if not weights.floors:
        return weights
    log.warning(
        f'{path}: batch normalisation after ReLU is folded approximately for 8 bits: '
        'near the border of the image the quantised network differs from the float one'
    )
    return without_floors(weights)


def without_floors(weights: Weights) -> Weights:
    """
    The same network with plain ReLU, as 8-bit engines compute it.

    max(x, t) = relu(x - t) + t: t goes into this layer's and the next layers' biases. That is
    exact but for the border: the next convolution pads with 0, where t would be needed.
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
