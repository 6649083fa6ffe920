"""Base class of the managed (lifecycle) nodes: transitions and diagnostics."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import ParameterException
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.lifecycle.publisher import LifecyclePublisher
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.timer import Timer

from superpoint_rknn.nodes.common.executor import NO_PUBLISHER_EVENTS
from superpoint_rknn.nodes.common.parameters import Parameters
from superpoint_rknn.nodes.common.qos import DIAGNOSTICS
from superpoint_rknn.settings import Parameter

RCLError = rclpy_implementation.RCLError
DIAGNOSTICS_PERIOD = 1.0  # [s]


class ManagedNode(LifecycleNode):
    """
    Lifecycle node that logs exceptions of transitions, which rclpy would hide.

    Subclasses implement `configure`, `activate`, `stop`, `release`, `check_inputs` and
    `statuses`. `stop` and `release` must work in any state: they may be called several times.
    table, interpret, more: parameters of the node, see Parameters.
    """

    def __init__(
        self,
        name: str,
        table: tuple[Parameter, ...],
        interpret: Callable[..., Any],
        more: Callable[[dict[str, Any]], tuple[Parameter, ...]] = lambda values: (),
        **kwargs: Any,
    ):
        super().__init__(name, **kwargs)
        self.finalized = False
        self.values = Parameters(self, table, interpret, self.parameters_changed, more)
        self.steady_clock = Clock(clock_type=ClockType.STEADY_TIME)
        self._diagnostics: Publisher | None = None
        self._timer: Timer | None = None

    @property
    def autostart(self) -> bool:
        """Whether to configure and activate at start; True for an invalid value, to log that."""
        return self.values['autostart'] is not False

    @property
    def is_blocked(self) -> bool:
        """True while a call that can't be interrupted is blocked."""
        return False

    @property
    def running(self) -> bool:
        """True while the node is active."""
        return self._timer is not None

    @property
    def configured(self) -> bool:
        """True while the node is inactive or active."""
        return self._diagnostics is not None

    def configure(self) -> None:
        """Create publishers, load models. Raises RuntimeError or ValueError with the reason."""
        raise NotImplementedError

    def activate(self) -> None:
        """Subscribe, start timers and threads."""
        raise NotImplementedError

    def stop(self) -> None:
        """Unsubscribe; wait until running work ends."""
        raise NotImplementedError

    def release(self) -> None:
        """Destroy publishers, close runtimes."""
        raise NotImplementedError

    def check_inputs(self) -> None:
        """Check the subscriptions; called once a second while active, before `statuses`."""
        raise NotImplementedError

    def statuses(self) -> list[DiagnosticStatus]:
        """Return the statuses that are published on /diagnostics."""
        raise NotImplementedError

    def advertise(self, kind: type, topic: str, qos: QoSProfile) -> LifecyclePublisher:
        """Create a publisher; `qos_overrides` parameters may override its QoS profile."""
        return self.create_lifecycle_publisher(
            kind,
            topic,
            qos,
            event_callbacks=NO_PUBLISHER_EVENTS,
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )

    def parameters_changed(self, names: set[str]) -> None:
        """Apply changed parameters that are not read for each image."""

    def shut_down(self) -> None:
        """Shut down from any state, also after the context is shut down (no transitions then)."""
        if not self.finalized and self.context.ok():
            with suppress(RCLError):  # during a transition that Ctrl-C interrupted
                self.trigger_shutdown()
        if not self.finalized:
            self._release()
            self.finalized = True

    def end_timer(self, timer: Timer) -> None:
        """Destroy a timer; its callback is not called again, even if it is due."""
        if self.context.ok():  # otherwise its timers are already destroyed
            timer.cancel()
        self.destroy_timer(timer)

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Read the parameters and configure; on an error log the reason and return FAILURE."""
        try:
            self.values.read()
            self.values.fixed = True
            self._diagnostics = self.create_publisher(
                DiagnosticArray, '/diagnostics', DIAGNOSTICS, event_callbacks=NO_PUBLISHER_EVENTS
            )
            self.configure()
        except (ParameterException, RuntimeError, TypeError, ValueError) as error:
            return self._refuse(str(error))
        except Exception:
            return self._refuse(traceback.format_exc())
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Activate; publish diagnostics once a second."""
        super().on_activate(state)
        try:
            self.activate()
        except Exception:
            self.get_logger().error(f'not activated:\n{traceback.format_exc()}')
            return TransitionCallbackReturn.ERROR
        self._timer = self.create_timer(
            DIAGNOSTICS_PERIOD, self._on_timer, clock=self.steady_clock
        )
        return TransitionCallbackReturn.SUCCESS

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop; publish the final counters."""
        self._stop()
        self._publish_diagnostics()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release everything."""
        self._release()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Deactivate if active, then release everything."""
        if self.running:
            self.on_deactivate(state)
        self._release()
        self.finalized = True
        return TransitionCallbackReturn.SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release everything, so that the node can be configured again."""
        self._release()
        return TransitionCallbackReturn.SUCCESS

    def _refuse(self, reason: str) -> TransitionCallbackReturn:
        self.get_logger().error(f'not configured: {reason}')
        self._release()
        return TransitionCallbackReturn.FAILURE

    def _stop(self) -> None:
        if self._timer is not None:
            self.end_timer(self._timer)
            self._timer = None
        self.stop()

    def _release(self) -> None:
        self._stop()
        self.release()
        self.values.fixed = False
        if self._diagnostics is not None:
            self.destroy_publisher(self._diagnostics)
            self._diagnostics = None

    def _on_timer(self) -> None:
        self.check_inputs()
        self._publish_diagnostics()

    def _publish_diagnostics(self) -> None:
        if self._diagnostics is None:  # not configured
            return
        message = DiagnosticArray()
        message.header.stamp = self.get_clock().now().to_msg()
        message.status = self.statuses()
        self._diagnostics.publish(message)
