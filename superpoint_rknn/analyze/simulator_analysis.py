"""The float network against rknn-toolkit2's simulator, layer by layer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from superpoint_rknn.analyze.analysis import LOGIT_LAYER, Analysis, network_outputs
from superpoint_rknn.analyze.layer_errors import LayerErrors, fake_quantise, keypoint_cells
from superpoint_rknn.analyze.layer_steps import LayerSteps
from superpoint_rknn.analyze.layer_trace import ROWS, FloatTrace
from superpoint_rknn.analyze.output_errors import OutputErrors
from superpoint_rknn.network.network import IMAGE, Weights
from superpoint_rknn.quantize.calibration import CalibrationImage, Progress

if TYPE_CHECKING:
    from superpoint_rknn.analyze.simulator import Simulator


def analyse_simulator(
    weights: Weights,
    simulator: Simulator,
    images: Iterable[CalibrationImage],
    *,
    size: tuple[int, int],
    title: str,
    per_channel: bool = False,
    progress: Progress = iter,
) -> Analysis:
    """
    Compare what rknn-toolkit2 simulates of an NPU with the float network.

    A layer's own error is between the simulator's output and what the float layer makes of the
    simulator's input to it, since the toolkit's integer weights can't be had.
    weights: of the float network, without floors (see without_floors).
    simulator: opened with `layers`. size: of its images. title: for people. per_channel: of
    the weights' scales.
    Raises RuntimeError with the toolkit's reason.
    """
    floating, steps = FloatTrace(weights, size), LayerSteps(weights, size)
    outputs = OutputErrors(size)
    quantizations = simulator.quantizations
    layers = {name: LayerErrors(name, quantizations.get(name)) for name in ROWS}
    for image in progress(images):
        true, _ = floating.run(image.grey)
        seen = fake_quantise(true[IMAGE], quantizations[IMAGE])
        quantised = {IMAGE: seen, **simulator.trace(image.grey)}
        stepped = {IMAGE: true[IMAGE], **steps.run(quantised)}
        keypoints = outputs.keypoints(true[LOGIT_LAYER])
        for name, errors in layers.items():
            cells = keypoint_cells(keypoints, size, true[name].shape[1:])
            errors.add_step(true[name], quantised[name], stepped[name], cells)
        outputs.add(image.name, image.grey, network_outputs(true), network_outputs(quantised))
    return Analysis(title, layers, outputs, per_channel=per_channel)
