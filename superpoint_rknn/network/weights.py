"""Readers of the weights of a SuperPoint network."""

from __future__ import annotations

import io
import logging
from math import prod
from pathlib import Path

import numpy as np
import onnxruntime

from superpoint_rknn.archive import DamagedArchiveError, open_archive
from superpoint_rknn.network.network import IMAGE, LAYERS, LOGITS, Weights, float_graph
from superpoint_rknn.network.onnx_weights import read_onnx_weights
from superpoint_rknn.network.rpautrat import MODULES, from_rpautrat
from superpoint_rknn.network.torch_file import MAX_BYTES, read_tensors
from superpoint_rknn.runtimes.model_files import stated_normalisation
from superpoint_rknn.runtimes.outputs import built_in_image, choose_std, detector_fault

TORCH_SUFFIXES = ('.pth', '.pt', '.pth.tar', '.ckpt')
RPAUTRAT_KEY = f'{MODULES["conv1a"]}.conv.weight'
RPAUTRAT_STD = 255.0  # rpautrat/SuperPoint takes grey values of 0..1
TEST_SIZE = (240, 320)  # [px] of the image on which weights are tested
WEIGHTS_HELP = (
    'float network: superpoint, superpoint_small, .npz, .onnx, or .pth, .pt, .pth.tar or .ckpt '
    'with the keys conv1a.weight, ... or of rpautrat/SuperPoint'
)
AS_ONNX = 'export the network as ONNX, which is read by its structure, not by names'

log = logging.getLogger(__name__)


def load_weights(path: Path, std: float | None = None) -> Weights:
    """
    Read weights from a file, which is not trusted.

    path: .npz in the format of this package, .onnx of a float network of convolutions, or a file
    of PyTorch with the keys of this package (`conv1a.weight`) or of rpautrat/SuperPoint.
    std: divisor of the grey values 0..255 before the network, which is folded into the first
    layer; None: that of the model card, else 255 for rpautrat/SuperPoint, else chosen by a test,
    see choose_std.
    Raises ValueError or ModelError if the file is not a SuperPoint, OSError if it cannot be read.
    """
    path = Path(path)
    try:
        std = _stated_std(path) if std is None else std
        if std is not None and not 0 < std < np.inf:
            raise ValueError(f'input std {std} is not positive')
        if path.suffix == '.npz':
            weights = read_npz(path)
        elif path.suffix == '.onnx':
            weights = read_onnx_weights(path)
        elif path.name.endswith(TORCH_SUFFIXES):
            tensors = _one_network(read_tensors(path))
            if RPAUTRAT_KEY in tensors:
                return from_rpautrat(tensors, RPAUTRAT_STD if std is None else std)
            weights = _named(tensors)
        else:
            suffixes = ', '.join(TORCH_SUFFIXES)
            raise ValueError(f'weights must be .npz, .onnx, {suffixes}, not {path.suffix!r}')
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from error
    if std is None:
        std = choose_std(path, lambda std: _logits(_for_raw_grey(weights, std)), '--input-std')
    return _for_raw_grey(weights, std)


def read_npz(path: Path) -> Weights:
    """Read arrays named `conv1a.weight`, `conv1a.bias`, ...; float, NCHW."""
    names = {f'{layer.name}.{part}.npy' for layer in LAYERS for part in ('weight', 'bias')}
    try:
        with open_archive(path) as archive:
            members = [member for member in archive.infolist() if member.filename in names]
            if sum(max(m.file_size, m.compress_size) for m in members) > MAX_BYTES:
                raise ValueError(f'the arrays have more than {MAX_BYTES} bytes in all')
            return _named(
                {m.filename.removesuffix('.npy'): _read_npy(archive.read(m)) for m in members}
            )
    except DamagedArchiveError as error:
        raise ValueError(f'not a NumPy archive: {error}') from error


def _read_npy(content: bytes) -> np.ndarray:
    """Read an array. Raises ValueError, before memory is taken, if it exceeds its file."""
    stream = io.BytesIO(content)
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(np.lib.format.read_magic(stream))
    if read_header is None:
        raise ValueError('an array of an unknown version of the format')
    shape, _, dtype = read_header(stream)
    if not dtype.hasobject and prod(shape) * dtype.itemsize > len(content):
        raise ValueError(f'an array of shape {shape} in {len(content)} bytes')
    stream.seek(0)
    return np.lib.format.read_array(stream, allow_pickle=False)


def _named(tensors: dict[str, np.ndarray]) -> Weights:
    """Weights of tensors named `conv1a.weight`, ...; float16 and float64 become float32."""
    normalized = [name for name in tensors if name.endswith('running_mean')]
    if normalized:
        raise ValueError(f'{normalized[0]}: batch normalization in an unknown layout; {AS_ONNX}')
    floats = {k: v.astype(np.float32) if v.dtype.kind == 'f' else v for k, v in tensors.items()}
    kernels, biases = (
        {
            layer.name: floats[f'{layer.name}.{part}']
            for layer in LAYERS
            if f'{layer.name}.{part}' in floats
        }
        for part in ('weight', 'bias')
    )
    return Weights(kernels, biases)


def _one_network(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """
    Return the tensors of the SuperPoint in a state dict, without the prefix of their names.

    A prefix such as `module.` or `extractor.` is added by modules that contain the network.
    """
    prefixes = sorted(
        name.removesuffix(key)
        for name in tensors
        for key in (RPAUTRAT_KEY, 'conv1a.weight')
        if name == key or name.endswith(f'.{key}')
    )
    if len(prefixes) != 1:
        found = ', '.join(map(repr, list(tensors)[:3])) or 'no tensor'
        reason = f'{len(prefixes)} networks with the prefixes {prefixes}' if prefixes else found
        raise ValueError(
            f'expected one network with the keys conv1a.weight, ... or {RPAUTRAT_KEY}, ... '
            f'(rpautrat/SuperPoint), found {reason:.300}; {AS_ONNX}'
        )
    prefix = prefixes[0]
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def load_for_8_bits(path: Path, std: float | None = None) -> Weights:
    """
    Read weights and fold the floors, which 8-bit runtimes lack.

    Warn if that is not exact, or if the outputs are implausible.

    path, std, errors: see load_weights.
    """
    weights = load_weights(path, std)
    fault = detector_fault(_logits(weights))
    if fault is not None:
        log.warning(f'{path}: implausible outputs on the built-in image: {fault}')
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


def _stated_std(path: Path) -> float | None:
    """Return the std in the model card; None if there is none."""
    mean, std = stated_normalisation(path, None, None)
    if mean:
        raise ValueError(f'model card: input mean {mean}: only 0 can be folded into the network')
    return std


def _for_raw_grey(weights: Weights, std: float) -> Weights:
    first = next(layer.name for layer in LAYERS if layer.source == IMAGE)
    kernel = (weights.kernels[first] / std).astype(np.float32)
    return Weights({**weights.kernels, first: kernel}, weights.biases, weights.floors)


def _logits(weights: Weights) -> np.ndarray:
    """Logits of the built-in image."""
    image = built_in_image(*TEST_SIZE)[np.newaxis, np.newaxis].astype(np.float32)
    session = onnxruntime.InferenceSession(
        float_graph(weights, TEST_SIZE).SerializeToString(), providers=['CPUExecutionProvider']
    )
    return session.run([LOGITS], {IMAGE: image})[0][0]
