"""Quantization by rknn-toolkit2: 8-bit input, float16 detector, 8-bit descriptors."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx

from superpoint_rknn.convert.toolkit2 import Toolkit
from superpoint_rknn.features.quantization import Quantization
from superpoint_rknn.network.network import DESCRIPTORS, IMAGE, LOGITS, Weights, float_graph
from superpoint_rknn.network.weights import without_floors
from superpoint_rknn.quantize.calibration import CalibrationImage

TARGETS = ('rv1126b', 'rk3588', 'rk3568', 'rk3566', 'rk3576', 'rk3562')
FLOAT_LAYERS = ('convPa', 'convPb')
FLOAT_TENSORS = ('convPa', 'convPa_relu', LOGITS)


def build(
    toolkit: Toolkit,
    weights: Weights,
    calibration: list[CalibrationImage],
    *,
    size: tuple[int, int],
    target: str,
    per_channel: bool = False,
    outputs: Iterable[str] = (),
) -> dict[str, Quantization]:
    """
    Quantize the network; `toolkit` can then export or simulate it.

    calibration: images of `size`, height and width [px]. target: one of TARGETS.
    per_channel: use one scale per output channel of the weights instead of one per layer.
    outputs: tensors to add to the outputs of the network, after logits and descriptors. They do
    not change the integers that the network computes.
    Returns scale and zero point of each 8-bit tensor. Raises RuntimeError with the error message
    of the toolkit, ValueError for a wrong target, size or calibration, OSError for files.
    """
    if target not in TARGETS:
        raise ValueError(f'target {target!r} is none of {", ".join(TARGETS)}')
    if not calibration:
        raise ValueError('no calibration images')
    graph = float_graph(without_floors(weights), size)
    for tensor in outputs:
        graph.graph.output.append(onnx.ValueInfoProto(name=tensor))
    onnx.save(onnx.shape_inference.infer_shapes(graph), toolkit.folder / 'network.onnx')
    names = []
    for number, image in enumerate(calibration):
        if image.grey.shape != tuple(size):
            raise ValueError(f'{image.name}: {image.grey.shape}, expected {size}')
        names.append(f'calibration_{number}.npy')
        np.save(toolkit.folder / names[-1], image.grey[np.newaxis, np.newaxis])
    (toolkit.folder / 'dataset.txt').write_text('\n'.join(names), encoding='utf-8')
    answer = toolkit.request(
        'build',
        target=target,
        method='channel' if per_channel else 'layer',
        float_tensors=FLOAT_TENSORS,
    )
    quantizations = {
        name: Quantization(entry['scale'], entry['zero_point'], np.dtype(np.int8))
        for name, entry in answer['quantization'].items()
    }
    for tensor in (IMAGE, DESCRIPTORS):
        if tensor not in quantizations:
            raise RuntimeError(f'rknn-toolkit2 {toolkit.version} did not quantize {tensor!r}')
    return quantizations
