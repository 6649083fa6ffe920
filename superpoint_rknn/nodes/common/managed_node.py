"""What the managed nodes of this package have in common: their life, and their diagnostics."""

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
from superpoint_rknn.nodes.common.parameters import (
    NodeSettings,
    Parameters,
    declare_parameter,
)
from superpoint_rknn.nodes.common.qos import DIAGNOSTICS
from superpoint_rknn.settings import Parameter

RCLError = rclpy_implementation.RCLError
DIAGNOSTICS_PERIOD = 1.0  # [s]


class ManagedNode(LifecycleNode):
    """
    A lifecycle node that never raises in a transition, since rclpy would hide it.

    A child says what to do by `configure`, `activate`, `stop`, `release`, `statuses`; `stop` and
    `release` are called in any state and give up whatever is held.
    table, interpret, more: the node's parameters, see Parameters.
    """

    is_blocked = False  # whether a call that can't be interrupted has not returned

    def __init__(
        self,
        name: str,
        table: tuple[Parameter, ...],
        interpret: Callable[..., Any],
        more: Callable[[dict[str, Any]], tuple[Parameter, ...]] = lambda values: (),
        **kwargs: Any,
    ):
        super().__init__(name, **kwargs)
        (autostart,) = (p for p in NodeSettings.parameters() if p.name == 'autostart')
        self.autostart = declare_parameter(self, autostart)
        self.finalized = False
        self.values = Parameters(self, table, interpret, self.parameters_changed, more)
        self.steady_clock = Clock(clock_type=ClockType.STEADY_TIME)
        self._diagnostics: Publisher | None = None
        self._timer: Timer | None = None

    @property
    def running(self) -> bool:
        """Whether the node is active."""
        return self._timer is not None

    @property
    def configured(self) -> bool:
        """Whether the node is inactive or active."""
        return self._diagnostics is not None

    def configure(self) -> None:
        """Advertise topics, load what is needed. Raises RuntimeError or ValueError to refuse."""
        raise NotImplementedError

    def activate(self) -> None:
        """Subscribe, start."""
        raise NotImplementedError

    def stop(self) -> None:
        """Take no more messages; let what is under way end."""
        raise NotImplementedError

    def release(self) -> None:
        """Give up topics and engines."""
        raise NotImplementedError

    def statuses(self) -> list[DiagnosticStatus]:
        """What /diagnostics tells."""
        raise NotImplementedError

    def advertise(self, kind: type, topic: str, qos: QoSProfile) -> LifecyclePublisher:
        """A publisher whose quality of service parameters may override; it may come and go."""
        return self.create_lifecycle_publisher(
            kind,
            topic,
            qos,
            event_callbacks=NO_PUBLISHER_EVENTS,
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )

    def parameters_changed(self, names: set[str]) -> None:
        """Put to use what is not looked up at each image."""

    def shut_down(self) -> None:
        """Go down from wherever the node is; without its context too, when no transition works."""
        if not self.finalized and self.context.ok():
            with suppress(RCLError):  # in the midst of a transition that Ctrl-C ended
                self.trigger_shutdown()
        if not self.finalized:
            self._release()
            self.finalized = True

    def end_timer(self, timer: Timer) -> None:
        """Have a timer not come again, not even where it is due."""
        if self.context.ok():  # which takes its timers along
            timer.cancel()
        self.destroy_timer(timer)

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Read parameters and configure; returns failure, with the reason logged, if refused."""
        try:
            self.values.declare()
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
        """Activate, and report once a second."""
        super().on_activate(state)
        try:
            self.activate()
        except Exception:
            self.get_logger().error(f'not activated:\n{traceback.format_exc()}')
            return TransitionCallbackReturn.ERROR
        self._timer = self.create_timer(
            DIAGNOSTICS_PERIOD, self._publish_diagnostics, clock=self.steady_clock
        )
        return TransitionCallbackReturn.SUCCESS

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop, and report the final counts."""
        self._stop()
        self._publish_diagnostics()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release everything."""
        self._release()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Go down in order, from wherever the node is."""
        if self.running:
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
        if self._timer is not None:
            self.end_timer(self._timer)
            self._timer = None
        self.stop()

    def _release(self) -> None:
        self._stop()
        self.release()
        if self._diagnostics is not None:
            self.destroy_publisher(self._diagnostics)
            self._diagnostics = None

    def _publish_diagnostics(self) -> None:
        assert self._diagnostics is not None  # from configure to release
        message = DiagnosticArray()
        message.header.stamp = self.get_clock().now().to_msg()
        message.status = self.statuses()
        self._diagnostics.publish(message)
