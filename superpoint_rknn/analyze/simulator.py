"""The network in rknn-toolkit2's simulator: on a PC, what the toolkit expects of the NPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from superpoint_rknn.convert.build import build
from superpoint_rknn.convert.toolkit2 import Toolkit, find_toolkit
from superpoint_rknn.network.network import (
    DESCRIPTORS,
    IMAGE,
    LAYERS,
    OUTPUTS,
    Weights,
    float_tensor,
)
from superpoint_rknn.quantize.calibration import CalibrationImage


class Simulator:
    """
    The network as `superpoint_rknn convert` builds it, in the simulator; a context manager.

    quantizations: what the integers of the input, 'image', and of the layers mean, by the names of
    network.LAYERS; those that compute in float16, the detector's, are left out.
    version: of the toolkit.

        with Simulator(weights, calibration, size=(400, 640)) as simulator:
            logits, descriptors = simulator.run(grey)
    """

    def __init__(
        self,
        weights: Weights,
        calibration: list[CalibrationImage],
        *,
        size: tuple[int, int],
        target: str = 'rv1126b',
        per_channel: bool = False,
        toolkit: Path | None = None,
        layers: bool = False,
        on_progress: Callable[[float], None] = lambda fraction: None,
    ):
        """
        Start the toolkit and quantise the network, which takes half a minute.

        calibration, size, target, per_channel: see rknn_build.build.
        toolkit: Python interpreter that has rknn-toolkit2; None: the checkout's.
        layers: let `trace` tell what every layer computes.
        on_progress: see Toolkit.
        Raises FileNotFoundError without a toolkit, RuntimeError with the toolkit's reason,
        ValueError for what can't be built.
        """
        self._size = size
        self._tensors = {OUTPUTS[name]: name for name in OUTPUTS}
        if layers:
            self._tensors |= {float_tensor(layer): layer.name for layer in LAYERS}
        self._toolkit = Toolkit(find_toolkit(toolkit), on_progress)
        try:
            quantizations = build(
                self._toolkit,
                weights,
                calibration,
                size=size,
                target=target,
                per_channel=per_channel,
                outputs=list(self._tensors)[len(OUTPUTS) :],
            )
            self._toolkit.order('simulate')
        except BaseException:
            self._toolkit.close()
            raise
        names = {IMAGE: IMAGE, **{float_tensor(layer): layer.name for layer in LAYERS}}
        self.quantizations = {
            name: quantizations[tensor]
            for tensor, name in names.items()
            if tensor in quantizations
        }
        self._descriptors = quantizations[DESCRIPTORS]
        self.version = self._toolkit.version

    def __enter__(self) -> Simulator:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the toolkit."""
        self._toolkit.close()

    def run(self, grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """
        Logits (65, H/8, W/8) float32 and raw descriptors (256, H/8, W/8) int8 of an image.

        grey: (H, W) uint8, else ValueError. Raises RuntimeError with the toolkit's reason.
        """
        values = self.trace(grey)
        return values['convPb'], self._descriptors.quantize(values['convDb'])

    def trace(self, grey: np.ndarray) -> dict[str, np.ndarray]:
        """
        Real numbers that the layers compute, by name, (C, h, w) float32; see run.

        After ReLU and before pooling. Without `layers`, those of the outputs alone: 'convPb' and
        'convDb'. The simulator gives floats that lie on the grid of the integers.
        """
        if grey.shape != tuple(self._size) or grey.dtype != np.uint8:
            raise ValueError(f'image: {grey.shape} {grey.dtype}, expected {self._size} uint8')
        folder = self._toolkit.folder
        np.save(folder / 'image.npy', grey[np.newaxis, np.newaxis])
        self._toolkit.order('infer', image='image.npy', outputs='outputs.npz')
        with np.load(folder / 'outputs.npz') as outputs:
            values = [outputs[name][0] for name in outputs.files]
        return dict(zip(self._tensors.values(), values, strict=True))
