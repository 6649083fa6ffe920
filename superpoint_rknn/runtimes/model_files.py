"""Find model and weights files, read model cards, and derive the input table."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path

import numpy as np

from superpoint_rknn.errors import one_line
from superpoint_rknn.features.quantization import (
    Quantization,
    default_std,
    input_table,
    is_identity,
)
from superpoint_rknn.files import absolute_path, find_shared_file, read_regular
from superpoint_rknn.runtimes.runtime import ModelError, ModelMissingError

SHIPPED = ('superpoint', 'superpoint_small')  # shipped models; the first is the default
MAX_MODEL = 1 << 28  # [bytes] of a .rknn file; a SuperPoint has 2 MB
MAX_CARD = 1 << 22  # [bytes] of a model card
SAME_NPU = {'rk3566': 'rk3568'}  # chip: another chip whose models it runs


def shipped_models() -> Path:
    """Return the folder of the shipped models. Raises ModelError if it is not found."""
    try:
        return find_shared_file(f'models/{SHIPPED[0]}_400x640_u8.onnx').parent
    except FileNotFoundError:
        raise ModelError(
            'the models of superpoint_rknn were not found: set the parameter `model` to a file, '
            'or source the workspace that the package is installed in'
        ) from None


def default_model(soc: str | None, name: str = SHIPPED[0]) -> Path:
    """Return the file of a shipped model for a chip ('rk3588', ...), else that for CPUs."""
    folder = shipped_models()
    if soc is not None:
        on_npu = folder / f'{name}_400x640_{SAME_NPU.get(soc, soc)}.rknn'
        if on_npu.is_file():
            return on_npu
    return folder / f'{name}_400x640_u8.onnx'


def find_model(model: str, soc: str | None, runtime: str = 'auto') -> Path:
    """
    Return the model file for a path or a name in SHIPPED; '' is the default model.

    model: `~` in a path is the home directory. soc: the chip; None: a CPU. runtime: see
    `open_runtime`; 'onnx' ignores the chip.
    """
    soc = None if runtime == 'onnx' else soc
    if model in ('', *SHIPPED):
        return default_model(soc, model or SHIPPED[0])
    return absolute_path(model)


def find_weights(weights: str, model: str = '') -> Path:
    """
    Return the weights file for a path or a name in SHIPPED; '' is that of `model`.

    model: see `find_model`. For a file, the weights in its model card; without a card, the default
    weights.
    Raises ValueError if the weights in the model card are not shipped, ModelError if shipped
    weights are not installed.
    """
    named = weights or (model if model in SHIPPED else '')
    if named and named not in SHIPPED:
        return Path(named)
    path = shipped_models() / f'{named or shipped_network(model)}.npz'
    if not path.is_file():
        raise ModelError(
            f'{path}: the float weights are not installed: build the package with '
            '-DSUPERPOINT_RKNN_FLOAT_WEIGHTS=ON, or set --weights'
        )
    return path


def shipped_network(model: str | Path) -> str:
    """
    Return the name in SHIPPED of the network that a model file was made from, by its model card.

    Without a file ('') or a card, it is the default network.
    Raises ValueError if the weights in the model card are not shipped.
    """
    made_from = read_card(Path(model)).get('weights') if model else None
    if not isinstance(made_from, dict) or 'sha256' not in made_from:
        return SHIPPED[0]
    for name in SHIPPED:
        if weights_hash(name) == made_from['sha256']:
            return name
    origin = f'{made_from.get("name")!r:.80}'
    raise ValueError(f'{model}: made from the weights {origin}: set --weights to that file')


def weights_hash(name: str) -> str:
    """Return the SHA-256 of shipped float weights, which need not be installed."""
    return read_card(shipped_models() / f'{name}.npz')['sha256']


def model_id(path: Path, content: bytes) -> str:
    """Return the id of a model: its file stem and the first 8 digits of its SHA-256."""
    return f'{one_line(Path(path).stem)}@{hashlib.sha256(content).hexdigest()[:8]}'


def read_model(path: Path) -> bytes:
    """
    Read a .rknn file.

    Raises ModelMissingError if it can't be read, ModelError if it is no regular file, empty or
    larger than MAX_MODEL.
    """
    try:
        content = read_regular(path, MAX_MODEL)
    except OSError as error:
        raise ModelMissingError(f'{path}: {error.strerror}') from error
    except ValueError as error:
        raise ModelError(f'{path}: {error}') from error
    if not content:
        raise ModelError(f'{path}: the file is empty')
    return content


def read_card(path: Path) -> dict:
    """Read the model card, the JSON file of the same stem beside a model; {} if there is none."""
    card = Path(path).with_suffix('.json')
    if not card.is_file():
        return {}
    try:
        content = json.loads(read_regular(card, MAX_CARD))
    except (OSError, RecursionError, ValueError) as error:
        raise ModelError(f'{card}: not a model card: {error}') from error
    if not isinstance(content, dict) or not isinstance(content.get('input', {}), dict):
        raise ModelError(
            f'{card}: not a model card: expected a JSON object with an object "input"'
        )
    return content


def stated_normalisation(
    path: Path, mean: float | None, std: float | None
) -> tuple[float, float | None]:
    """
    Return mean and std of the input normalisation (x - mean) / std, as far as they are stated.

    mean, std: None: from the model card; if it has none, 0 and None.
    Raises ModelError if a value is not a number, or std is 0.
    """
    stated = read_card(path).get('input', {})
    mean = stated.get('mean', 0.0) if mean is None else mean
    std = stated.get('std') if std is None else std
    for name, value in (('mean', mean), ('std', std)):
        if isinstance(value, bool) or not isinstance(value, (int, float, type(None))):
            raise ModelError(f'{path}: input: {name}: {value!r}, expected a number')
    try:
        mean, std = float(mean), None if std is None else float(std)
    except (OverflowError, TypeError) as error:
        raise ModelError(f'{path}: input: mean {mean!r:.40}, std {std!r:.40}: {error}') from error
    if not math.isfinite(mean) or (std is not None and (std == 0 or not math.isfinite(std))):
        raise ModelError(f'{path}: mean {mean}, std {std}: expected numbers, std not 0')
    return mean, std


def resolve_normalisation(
    path: Path, quantization: Quantization, mean: float | None, std: float | None
) -> tuple[float, float]:
    """
    Return mean and std of the input normalisation of a network with a quantized input.

    mean, std: see `stated_normalisation`; if std is not stated, it is `default_std`.
    Raises ModelError if std is unknown, or if the values in the card are not numbers.
    """
    mean, std = stated_normalisation(path, mean, std)
    try:
        return mean, default_std(quantization) if std is None else std
    except ValueError as error:
        raise ModelError(f'{path}: input: {error}') from error


def resolve_input_table(
    path: Path, quantization: Quantization, mean: float | None, std: float | None
) -> np.ndarray | None:
    """
    Return the input table, which maps grey values to the quantized model input.

    mean, std: see `resolve_normalisation`.
    Returns (256,) of the input's dtype; None if it is the identity.
    Raises ModelError with the reason if the table would clip.
    """
    mean, std = resolve_normalisation(path, quantization, mean, std)
    try:
        table = input_table(quantization, mean, std)
    except ValueError as error:
        raise ModelError(f'{path}: input: {error}') from error
    return None if is_identity(table) else table
