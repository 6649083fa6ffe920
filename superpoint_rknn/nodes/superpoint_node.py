"""The managed node `superpoint`: images in, keypoints and descriptors out."""

from __future__ import annotations

import math
import sys

from diagnostic_msgs.msg import DiagnosticStatus

from superpoint_rknn.nodes.camera import Camera
from superpoint_rknn.nodes.diagnostics import images_status
from superpoint_rknn.nodes.managed_node import ManagedNode
from superpoint_rknn.nodes.parameters import PARAMETERS, settings_of
from superpoint_rknn.nodes.process import Interruption, run_node
from superpoint_rknn.nodes.worker import Worker
from superpoint_rknn.runtimes.board import detect_soc
from superpoint_rknn.runtimes.model_files import default_model
from superpoint_rknn.runtimes.runtime import Runtime, open_runtime

PATIENCE = 1.0  # [s] for an inference under way to end when the node is stopped
WAKE_UP = 0.1  # [s] longest time until an interruption is noticed while a model is loaded


class SuperPointNode(ManagedNode):
    """
    Runs SuperPoint on the images of a camera.

    Callbacks only hand images over; the worker thread alone uses the engine. Descriptors are
    made in a timer of their own, on the steady clock, out of the keypoints' way.
    interruption: while it is requested, a model that is being loaded is not waited for.
    """

    def __init__(self, interruption: Interruption | None = None, **kwargs):
        self._interruption = interruption
        self._worker: Worker | None = None
        self._camera: Camera | None = None
        self._descriptor_timer = None
        super().__init__('superpoint', PARAMETERS, settings_of, **kwargs)

    @property
    def hangs(self) -> bool:
        """Whether a call into an engine that was given up has not returned."""
        return self._worker is not None and self._worker.is_alive()

    def configure(self) -> None:
        """Advertise topics, load the model. Raises RuntimeError or ValueError with the reason."""
        if self.hangs:
            raise RuntimeError(
                'the last call into the engine has not returned; try again, or restart'
            )
        self._camera = Camera(self, self.values)
        self._worker = Worker(self._open_runtime, self.values, self.get_logger())
        self._worker.start()
        while not self._worker.opened.wait(WAKE_UP):
            if self._interruption is not None and self._interruption.requested:
                raise RuntimeError('interrupted while the model was being loaded')
        if self._worker.extractor is None:
            raise RuntimeError(self._worker.trouble)
        runtime = self._worker.extractor.runtime
        self.get_logger().info(f'{runtime.model} on {runtime.name}')

    def activate(self) -> None:
        """Subscribe to images, start the descriptor timer."""
        self._camera.activate(self._worker)
        self._start_descriptors()

    def stop(self) -> None:
        """Take no more images, let an inference under way end."""
        self._stop_descriptors()
        if self._camera is not None and self._camera.active:
            self._camera.deactivate()
            if not self._worker.mailbox.wait_done(PATIENCE):
                self.get_logger().warning(f'the engine is still busy after {PATIENCE} s')

    def release(self) -> None:
        """Close the engine, unless a call into it hangs; take the topics down."""
        if self._worker is not None:
            busy = self._worker.mailbox.busy_for() > 0
            if not self._worker.stop(0.1 if busy else PATIENCE):
                self.get_logger().warning('a call into the engine is left to end by itself')
        if self._camera is not None:
            self._camera.destroy()
            self._camera = None

    def status(self) -> DiagnosticStatus:
        """Counts, rates, stage times and the engine's state."""
        runtime = self._worker.extractor.runtime
        return images_status(
            f'{self.get_fully_qualified_name()}: camera',
            self._camera.accounting,
            {'keypoints': 'published', 'descriptors': 'descriptors'},
            {
                'reopened': self._worker.reopened,
                'runtime': runtime.name,
                'model': runtime.model,
            },
            self._worker.trouble,
        )

    def parameters_changed(self, names: set[str]) -> None:
        """Start the descriptor timer anew if its rate changed."""
        if 'descriptors.rate' in names and self.running:
            self._stop_descriptors()
            self._start_descriptors()

    def _open_runtime(self) -> Runtime:
        values = self.values
        soc = detect_soc()
        model = values['model'] or default_model(soc)
        if soc and str(model).endswith('.onnx'):
            self.get_logger().warning(
                f'{soc}: running on the CPU, not on the NPU: set the parameter `model` to a .rknn '
                'file converted for this chip'
            )
        mean, std = (
            None if math.isnan(values[name]) else values[name]
            for name in ('input.mean', 'input.std')
        )
        return open_runtime(
            model,
            values['runtime'],
            mean=mean,
            std=std,
            pass_through=values['input.pass_through'],
            zero_copy=values['npu.zero_copy'],
            core_mask=values['npu.core_mask'],
        )

    def _start_descriptors(self) -> None:
        rate = self.values['descriptors.rate']
        if rate > 0:
            self._descriptor_timer = self.create_timer(
                1.0 / rate, self._camera.publish_descriptors, clock=self.steady_clock
            )

    def _stop_descriptors(self) -> None:
        if self._descriptor_timer is not None:
            self._descriptor_timer.cancel()  # it may be due
            self.destroy_timer(self._descriptor_timer)
            self._descriptor_timer = None
        if self._camera is not None:
            self._camera.forget_descriptors()


def main(args: list[str] | None = None) -> int:
    """Run the node until it is interrupted; returns the exit code."""
    return run_node(SuperPointNode, args)


if __name__ == '__main__':
    sys.exit(main())
