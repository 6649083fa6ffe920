"""The managed node `superpoint`: images in, keypoints and descriptors out."""

from __future__ import annotations

import math
import sys
import traceback

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import ParameterException
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from superpoint_rknn.nodes.camera import FEATURES, Camera
from superpoint_rknn.nodes.diagnostics import status_of
from superpoint_rknn.nodes.parameter_table import AUTOSTART, Parameters, declare_parameter
from superpoint_rknn.nodes.parameters import PARAMETERS, settings_of
from superpoint_rknn.nodes.process import Interruption, run_node
from superpoint_rknn.nodes.worker import Worker
from superpoint_rknn.runtimes.board import detect_soc
from superpoint_rknn.runtimes.runtime import Runtime, default_model, open_runtime

PATIENCE = 1.0  # [s] for an inference under way to end when the node is stopped
DIAGNOSTICS_PERIOD = 1.0  # [s]
WAKE_UP = 0.1  # [s] longest time until an interruption is noticed while a model is loaded


class SuperPointNode(LifecycleNode):
    """
    Runs SuperPoint on the images of a camera.

    Callbacks only hand images over; the worker thread alone uses the engine. Descriptors are
    made in a timer of their own, on the steady clock, out of the keypoints' way.
    interruption: while it is requested, a model that is being loaded is not waited for.
    """

    def __init__(self, interruption: Interruption | None = None, **kwargs):
        super().__init__('superpoint', **kwargs)
        self.autostart = declare_parameter(self, AUTOSTART)
        self.finalized = False
        self._interruption = interruption
        self._values = Parameters(self, PARAMETERS, settings_of, self._on_parameters)
        self._worker: Worker | None = None
        self._camera: Camera | None = None
        self._diagnostics = None
        self._diagnostics_timer = None
        self._descriptor_timer = None
        self._steady_clock = Clock(clock_type=ClockType.STEADY_TIME)

    @property
    def hangs(self) -> bool:
        """Whether a call into an engine that was given up has not returned."""
        return self._worker is not None and self._worker.is_alive()

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Read parameters, advertise topics, load the model; returns failure if one is bad."""
        if self.hangs:
            return self._refuse(
                'the last call into the engine has not returned; try again, or restart'
            )
        try:
            self._values.declare()
            self._camera = Camera(self, self._values)
            self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', FEATURES)
        except (ParameterException, RuntimeError, TypeError, ValueError) as error:
            return self._refuse(str(error))
        except Exception:  # rclpy would hide it
            return self._refuse(traceback.format_exc())
        self._worker = Worker(self._open_runtime, self._values, self.get_logger())
        self._worker.start()
        while not self._worker.opened.wait(WAKE_UP):
            if self._interruption is not None and self._interruption.requested:
                return self._refuse('interrupted while the model was being loaded')
        if self._worker.extractor is None:
            return self._refuse(self._worker.trouble)
        runtime = self._worker.extractor.runtime
        self.get_logger().info(f'{runtime.model} on {runtime.name}')
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe to images, start the timers."""
        super().on_activate(state)
        try:
            self._camera.activate(self._worker)
        except Exception:  # rclpy would hide it
            self.get_logger().error(f'not activated:\n{traceback.format_exc()}')
            return TransitionCallbackReturn.ERROR
        self._diagnostics_timer = self.create_timer(
            DIAGNOSTICS_PERIOD, self._publish_diagnostics, clock=self._steady_clock
        )
        self._start_descriptors()
        return TransitionCallbackReturn.SUCCESS

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Take no more images; report the final counts."""
        self._stop()
        self._publish_diagnostics()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release the engine and the topics."""
        self._release()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Go down in order, from wherever the node is."""
        if self._diagnostics_timer is not None:
            self.on_deactivate(state)
        self._release()
        self.finalized = True
        return TransitionCallbackReturn.SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release everything: the node may be configured again."""
        self._release()
        return TransitionCallbackReturn.SUCCESS

    def _refuse(self, reason: str) -> TransitionCallbackReturn:
        self.get_logger().error(f'not configured: {reason}')
        self._release()
        return TransitionCallbackReturn.FAILURE

    def _stop(self) -> None:
        """Stop the timers, take no more images, let an inference under way end."""
        self._stop_descriptors()
        if self._diagnostics_timer is not None:
            self.destroy_timer(self._diagnostics_timer)
            self._diagnostics_timer = None
        if self._camera is not None and self._camera.active:
            self._camera.deactivate()
            if not self._worker.mailbox.wait_done(PATIENCE):
                self.get_logger().warning(f'the engine is still busy after {PATIENCE} s')

    def _release(self) -> None:
        """Give up whatever is held, in any state."""
        self._stop()
        if self._worker is not None:
            busy = self._worker.mailbox.busy_for() > 0
            if not self._worker.stop(0.1 if busy else PATIENCE):
                self.get_logger().warning('a call into the engine is left to end by itself')
        if self._camera is not None:
            self._camera.destroy()
            self._camera = None
        if self._diagnostics is not None:
            self.destroy_publisher(self._diagnostics)
            self._diagnostics = None

    def _open_runtime(self) -> Runtime:
        values = self._values
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

    def _on_parameters(self, changed: set[str]) -> None:
        """Put to use what the worker doesn't look up at each image."""
        if 'descriptors.rate' in changed and self._diagnostics_timer is not None:
            self._stop_descriptors()
            self._start_descriptors()

    def _start_descriptors(self) -> None:
        rate = self._values['descriptors.rate']
        if rate > 0:
            self._descriptor_timer = self.create_timer(
                1.0 / rate, self._camera.publish_descriptors, clock=self._steady_clock
            )

    def _stop_descriptors(self) -> None:
        if self._descriptor_timer is not None:
            self.destroy_timer(self._descriptor_timer)
            self._descriptor_timer = None
        if self._camera is not None:
            self._camera.forget_descriptors()

    def _publish_diagnostics(self) -> None:
        runtime = self._worker.extractor.runtime
        message = DiagnosticArray()
        message.header.stamp = self.get_clock().now().to_msg()
        message.status = [
            status_of(
                f'{self.get_fully_qualified_name()}: camera',
                self._camera.accounting,
                runtime.name,
                runtime.model,
                self._worker.reopened,
                self._worker.trouble,
            )
        ]
        self._diagnostics.publish(message)


def main(args: list[str] | None = None) -> int:
    """Run the node until it is interrupted; returns the exit code."""
    return run_node(SuperPointNode, args)


if __name__ == '__main__':
    sys.exit(main())
