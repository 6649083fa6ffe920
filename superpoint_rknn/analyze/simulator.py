"""The network in the simulator of rknn-toolkit2, which computes on a PC what an NPU should."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from superpoint_rknn.analyze.analysis import DESCRIPTOR_LAYER, LOGIT_LAYER
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

    quantizations: of the model input ('image') and of the layers that compute in 8 bits, by name.
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
        Start the toolkit and quantize the network, which takes half a minute.

        calibration, size, target, per_channel: see build.
        toolkit: Python interpreter that has rknn-toolkit2; None: that of the checkout.
        layers: make the outputs of all layers available to `trace`.
        on_progress: see Toolkit.
        Raises FileNotFoundError without a toolkit, RuntimeError with the error message of the
        toolkit, ValueError for arguments that `build` refuses.
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
            self._toolkit.request('simulate')
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
        """Terminate the toolkit."""
        self._toolkit.close()

    def run(self, grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """
        Logits (65, H/8, W/8) float32 and raw descriptors (256, H/8, W/8) int8 of a model input.

        grey: (H, W) uint8, else ValueError. Raises RuntimeError with the error message of the
        toolkit.
        """
        values = self.trace(grey)
        return values[LOGIT_LAYER], self._descriptors.quantize(values[DESCRIPTOR_LAYER])

    def trace(self, grey: np.ndarray) -> dict[str, np.ndarray]:
        """
        Outputs of the layers by name, (C, h, w) float32, after ReLU and before pooling; see run.

        Without `layers`, only the outputs of the network, 'convPb' and 'convDb'. The simulator
        returns dequantized values.
        """
        if grey.shape != tuple(self._size) or grey.dtype != np.uint8:
            raise ValueError(f'image: {grey.shape} {grey.dtype}, expected {self._size} uint8')
        folder = self._toolkit.folder
        np.save(folder / 'image.npy', grey[np.newaxis, np.newaxis])
        self._toolkit.request('infer', image='image.npy', outputs='outputs.npz')
        with np.load(folder / 'outputs.npz') as outputs:
            values = [outputs[name][0] for name in outputs.files]
        return dict(zip(self._tensors.values(), values, strict=True))
