"""Whether the outputs of a network are plausible, tested on a built-in image."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from superpoint_rknn.features import CELL
from superpoint_rknn.runtimes.runtime import ModelError, Runtime

PIXELS = CELL * CELL
STDS = (1.0, 255.0)  # of the input normalisation: the network takes 0..255, or 0..1
# A softmax in 8 bits rounds each of 65 probabilities, so that their sum is not exactly 1.
SUM_TOLERANCE = 0.15
SMALLEST = np.finfo(np.float32).tiny  # a probability of 0 has no logarithm
MARGIN = 6  # [cells] that the zero padding of the convolutions may change
# Trained networks give 5 % to 25 % of the cells of this image a probability of at least
# MIN_PROBABILITY, and a median spread of the logits of a cell of 9 to 17. Inputs 255 times too
# small leave none; inputs 255 times too large give spreads above 40.
MIN_PROBABILITY = 0.015
MIN_SHARE, MAX_SHARE = 0.02, 0.8
MAX_SPREAD = 30.0

log = logging.getLogger(__name__)


def built_in_image(height: int, width: int) -> np.ndarray:
    """Image of blurred, noisy polygons on a shaded background, (height, width) uint8."""
    rng = np.random.default_rng(0)
    shades = rng.integers(70, 186, (4, 5), np.uint8)
    image = cv2.resize(shades, (width, height), interpolation=cv2.INTER_CUBIC)
    for _ in range(height * width // 1500):
        centre = rng.uniform((0, 0), (width, height))
        angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 6)))
        corners = np.stack([np.cos(angles), np.sin(angles)], 1) * rng.uniform(6, 26) + centre
        grey = int(rng.integers(10, 246))
        cv2.fillPoly(image, [np.rint(corners * 16).astype(np.int32)], grey, cv2.LINE_AA, 4)
    noisy = cv2.GaussianBlur(image, (0, 0), 0.8) + rng.normal(0, 3, image.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def to_logits(outputs: np.ndarray) -> np.ndarray:
    """
    Return the logits of a detector output, which may be softmaxed already.

    outputs: (65, H/8, W/8) float32. If no value is negative and each cell's sum is 1, the values
    are probabilities; their logarithm has the same softmax.
    Returns `outputs` itself, or a new array.
    """
    if not _are_probabilities(outputs[:, 0, 0]) or not _are_probabilities(outputs):
        return outputs
    return np.log(np.maximum(outputs, SMALLEST))


def _are_probabilities(outputs: np.ndarray) -> bool:
    return bool(outputs.min() >= 0 and np.abs(outputs.sum(0) - 1).max() < SUM_TOLERANCE)


def detector_fault(logits: np.ndarray) -> str | None:
    """
    Return what is implausible in the logits of the built-in image; None if nothing is.

    logits: (65, H/8, W/8) float32. Independent of `detector.threshold`.
    """
    if not np.isfinite(logits).all():
        return 'its logits are not finite: the model or its quantization is broken'
    rows, cols = (slice(m := min(MARGIN, side // 4), side - m) for side in logits.shape[1:])
    cells = logits[:, rows, cols].reshape(PIXELS + 1, -1).astype(np.float64)
    weights = np.exp(cells - cells.max(0))
    likeliest = (weights[:PIXELS] / weights.sum(0)).max(0)
    share = float((likeliest > MIN_PROBABILITY).mean())
    spread = float(np.median(np.ptp(cells, 0)))
    found = f'{share:.1%} of the cells have a point, mean probability {likeliest.mean():.2g}'
    if spread > MAX_SPREAD:
        return (
            f'{found}, and the logits of a cell differ by {spread:.3g}: its input is probably too '
            'large; networks for 0..1 need input.std 255'
        )
    if share < MIN_SHARE:
        return (
            f'{found}: its input is probably too small, or it is not a trained SuperPoint; '
            'networks for 0..255 need input.std 1'
        )
    if share > MAX_SHARE:
        return f'{found}: it is not a trained SuperPoint, or its input.mean or input.std is wrong'
    return None


def descriptor_fault(descriptors: np.ndarray) -> str | None:
    """
    Return what is implausible in the descriptors of the built-in image; None if nothing is.

    descriptors: (C, H/8, W/8) float32.
    """
    if not np.isfinite(descriptors).all():
        return 'its descriptors are not finite: the model or its quantization is broken'
    if np.ptp(descriptors.reshape(len(descriptors), -1), 1).max() == 0:
        return 'its descriptors are equal everywhere: the model or its quantization is broken'
    norms = np.sqrt(np.einsum('chw,chw->hw', descriptors, descriptors))
    zeros = float((norms == 0).mean())
    if zeros > 0.5:
        return f'{zeros:.0%} of its descriptors are 0: its quantization is broken'
    return None


def network_faults(runtime: Runtime) -> list[str]:
    """
    Run the model once, on the built-in image; return what is implausible in its outputs.

    Raises RuntimeError if the inference failed.
    """
    raw = np.empty(runtime.descriptors.shape[1:], runtime.descriptors.dtype)
    logits = runtime.infer(built_in_image(*runtime.input.shape[2:]), raw)
    quantization = runtime.descriptors.quantization
    descriptors = raw if quantization is None else quantization.dequantize(raw)
    faults = (detector_fault(logits), descriptor_fault(descriptors))
    return [
        f'{runtime.model}: implausible outputs on the built-in image: {fault}'
        for fault in faults
        if fault is not None
    ]


def choose_std(path: Path, logits_of: Callable[[float], np.ndarray], parameter: str) -> float:
    """
    Return the std of the input normalisation that gives plausible logits of the built-in image.

    path: file of the network. logits_of: logits for one of STDS.
    parameter: the one that sets the std, for messages.
    The choice is logged as a warning; if no std is plausible, it is 1.
    Raises ModelError if all are plausible.
    """
    plausible = [std for std in STDS if detector_fault(logits_of(std)) is None]
    card = path.with_suffix('.json').name
    if plausible == [*STDS]:
        raise ModelError(
            f'{path}: its input may be 0..255 (std 1) or 0..1 (std 255), both give plausible '
            f'keypoints: set {parameter}, or {{"input": {{"std": ...}}}} in the model card {card}'
        )
    std = (plausible or STDS)[0]
    if plausible:
        log.warning(
            f'{path}: input std {std:g} was chosen by a test: only this gives plausible keypoints '
            f'on the built-in image; set {parameter} {std:g}, or {{"input": {{"std": {std:g}}}}} '
            f'in the model card {card}, to skip the test'
        )
    else:
        log.warning(
            f'{path}: input std {std:g} is assumed: neither 1 nor 255 gives plausible keypoints '
            f'on the built-in image; set {parameter}, or {{"input": {{"std": ...}}}} in the model '
            f'card {card}, to what the network was trained with'
        )
    return std
