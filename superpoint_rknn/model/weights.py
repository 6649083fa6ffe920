"""Weights of a SuperPoint network from a file."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from superpoint_rknn.model.network import LAYERS, Weights


def load_weights(path: Path) -> Weights:
    """
    Weights from a .npz file; raises ValueError if they are not those of a SuperPoint, OSError if
    the file can't be read.
    """
    path = Path(path)
    readers = {'.npz': read_npz}
    if path.suffix not in readers:
        raise ValueError(f'{path}: weights come as {", ".join(readers)}, not {path.suffix!r}')
    try:
        return readers[path.suffix](path)
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
