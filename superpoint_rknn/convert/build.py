"""Have rknn-toolkit2 quantise the network: bytes in, float16 detector, 8-bit descriptors."""

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
    Quantise the network; `toolkit` can then export it or simulate it.

    calibration: images of `size`, height and width [px]. target: one of TARGETS.
    per_channel: give each output channel's weights a scale of their own, instead of each layer's.
    outputs: tensors that become outputs of the network, after logits and descriptors. (Computes
    the same: the integers were compared.)
    Returns what the integers of each 8-bit tensor mean. Raises RuntimeError with the toolkit's
    reason, ValueError for a target, a size or calibration images that it can't be built with,
    OSError.
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
    answer = toolkit.order(
        'build',
        target=target,
        method='channel' if per_channel else 'layer',
        float_tensors=FLOAT_TENSORS,
    )
    quantizations = {
        name: Quantization(entry['scale'], entry['zero_point'], np.int8)
        for name, entry in answer['quantization'].items()
    }
    for tensor in (IMAGE, DESCRIPTORS):
        if tensor not in quantizations:
            raise RuntimeError(f'rknn-toolkit2 {toolkit.version} left {tensor!r} unquantised')
    return quantizations
