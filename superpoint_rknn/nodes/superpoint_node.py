"""The managed node `superpoint`: images in, keypoints and descriptors out."""

from __future__ import annotations

import math
import sys
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import ParameterException
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from superpoint_rknn.extractor import Settings
from superpoint_rknn.nodes.camera import FEATURES, Camera
from superpoint_rknn.nodes.diagnostics import status_of
from superpoint_rknn.nodes.parameters import (
    declare_parameter,
    declare_parameters,
    on_change,
    read_settings,
)
from superpoint_rknn.nodes.process import run_node
from superpoint_rknn.nodes.worker import Worker
from superpoint_rknn.runtimes.board import detect_soc
from superpoint_rknn.runtimes.runtime import Runtime, default_model, open_runtime

PATIENCE = 1.0  # [s] for an inference under way to end when the node is stopped
DIAGNOSTICS_PERIOD = 1.0  # [s]


class SuperPointNode(LifecycleNode):
    """
    Runs SuperPoint on the images of a camera.

    Callbacks only hand images over; the worker thread alone uses the engine. Descriptors are
    made in a timer of their own, on the steady clock, out of the keypoints' way.
    """

    def __init__(self, **kwargs):
        super().__init__('superpoint', **kwargs)
        self.autostart = declare_parameter(self, 'autostart')
        self._values: dict[str, Any] | None = None
        self._worker: Worker | None = None
        self._camera: Camera | None = None
        self._diagnostics = None
        self._timers_of_activity: list = []
        self._steady_clock = Clock(clock_type=ClockType.STEADY_TIME)

    @property
    def hangs(self) -> bool:
        """Whether a call into the engine never returned."""
        return self._worker is not None and self._worker.is_alive()

    def interrupt(self) -> None:
        """Give up waiting for a model that is being loaded; safe in a signal handler."""
        if self._worker is not None:
            self._worker.opened.set()

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Read parameters, advertise topics, load the model."""
        if self.hangs:
            return self._refuse('a call into the engine never returned; restart this process')
        try:
            first = self._values is None
            self._values = declare_parameters(self)
            settings = read_settings(self._values)
        except (ParameterException, TypeError, ValueError) as error:
            self._values = None
            return self._refuse(str(error))
        if first:
            on_change(self, self._values, self._apply)
        self._worker = Worker(self._open_runtime, self._process, settings, self.get_logger())
        self._worker.start()
        self._worker.opened.wait()
        if self._worker.extractor is None:
            return self._refuse(self._worker.trouble or 'interrupted while the model was loading')
        self._camera = Camera(self, self._values)
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', FEATURES)
        runtime = self._worker.extractor.runtime
        self.get_logger().info(f'{runtime.model} on {runtime.name}')
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe to images, start the timers."""
        super().on_activate(state)
        self._camera.activate(self._worker)
        self._start_timers()
        return TransitionCallbackReturn.SUCCESS

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Take no more images; report the final counts."""
        self._stop_timers()
        self._camera.deactivate()
        if not self._worker.mailbox.wait_done(PATIENCE):
            self.get_logger().warning(f'an inference is not done after {PATIENCE} s')
        self._publish_diagnostics()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release the engine and the topics."""
        waited_in_vain = not self._worker.mailbox.wait_done(0)
        if not self._worker.stop(0.1 if waited_in_vain else PATIENCE):
            self.get_logger().error('a call into the engine hangs: it is left behind')
        self._camera.destroy()
        self.destroy_publisher(self._diagnostics)
        self._camera = None
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Go down in order, from wherever the node is."""
        if self._timers_of_activity:
            self.on_deactivate(state)
        if self._camera is not None:
            self.on_cleanup(state)
        return TransitionCallbackReturn.SUCCESS

    def _refuse(self, reason: str) -> TransitionCallbackReturn:
        self.get_logger().error(f'not configured: {reason}')
        return TransitionCallbackReturn.FAILURE

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

    @staticmethod
    def _process(item, extractor) -> None:
        camera, message, arrived = item
        camera.process(message, arrived, extractor)

    def _apply(self, values: dict[str, Any], settings: Settings) -> None:
        """Put changed parameters to use."""
        if self._worker is not None:
            self._worker.apply(settings)
        if self._timers_of_activity:
            self._stop_timers()
            self._start_timers()

    def _start_timers(self) -> None:
        timers = [(DIAGNOSTICS_PERIOD, self._publish_diagnostics)]
        rate = self._values['descriptors.rate']
        if rate > 0:
            timers.append((1.0 / rate, self._camera.publish_descriptors))
        self._timers_of_activity = [
            self.create_timer(period, callback, clock=self._steady_clock)
            for period, callback in timers
        ]

    def _stop_timers(self) -> None:
        for timer in self._timers_of_activity:
            self.destroy_timer(timer)
        self._timers_of_activity = []

    def _publish_diagnostics(self) -> None:
        runtime = self._worker.extractor.runtime
        message = DiagnosticArray()
        message.header.stamp = self.get_clock().now().to_msg()
        message.status = [
            status_of(
                f'{self.get_name()}: camera',
                self._camera.accounting,
                runtime.name,
                runtime.model,
                self._worker.trouble,
            )
        ]
        self._diagnostics.publish(message)


def main(args: list[str] | None = None) -> int:
    """Run the node until it is interrupted; returns the exit code."""
    return run_node(SuperPointNode, args)


if __name__ == '__main__':
    sys.exit(main())
