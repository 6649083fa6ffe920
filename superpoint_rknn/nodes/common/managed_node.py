"""Base class of the managed (lifecycle) nodes: transitions and diagnostics."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from traceback import format_exception
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import ParameterException
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.impl.rcutils_logger import RcutilsLogger
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.lifecycle.publisher import LifecyclePublisher
from rclpy.logging import get_logger
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.timer import Timer

from superpoint_rknn.errors import NotReadyError, one_line
from superpoint_rknn.nodes.common.executor import NO_PUBLISHER_EVENTS
from superpoint_rknn.nodes.common.parameters import Parameters
from superpoint_rknn.nodes.common.qos import DIAGNOSTICS, check_overrides
from superpoint_rknn.nodes.common.running_clock import RunningClock
from superpoint_rknn.settings import Parameter

RCLError = rclpy_implementation.RCLError
LOCAL_LOG = get_logger('superpoint_rknn')  # not published on /rosout, as no node has this name
FILE_REFUSED = (
    'see the log on this computer; a file was set at run time, so the reason is not published'
)
DIAGNOSTICS_PERIOD = 1.0  # [s]
LOADING_TIMEOUT = 180.0  # [s] for loading a model, and for its first inference
LOADING_PERIOD = 10.0  # [s] of log messages while a model is being loaded
STANDSTILL = 3.0  # [s] between two diagnostics, after which the reason is logged
POLL_PERIOD = 0.1  # [s] of checking for an interruption while a model is loaded


class LoadingTimeoutError(RuntimeError, NotReadyError):
    """Loading did not end in time."""


class ManagedNode(LifecycleNode):
    """
    Lifecycle node that logs exceptions of transitions, which rclpy would hide.

    Subclasses implement `configure`, `activate`, `stop`, `release`, `check_inputs` and
    `statuses`, and `is_loaded` if `configure` loads something in another thread. `stop` and
    `release` must work in any state: they may be called several times.
    table, interpret, more: parameters of the node, see Parameters.
    """

    loads = 'the model'  # what `is_loaded` waits for

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
        self.configured = False  # True while inactive or active
        self.refusal: Exception | None = None  # reason why the last transition failed
        self.has_new_parameters = False  # True if one was set since the last attempt to configure
        self._begun: float | None = None  # [s], time.monotonic, of the attempt to configure
        self._next_loading_log = 0.0  # [s], time.monotonic
        self._next_report = 0.0  # [s], time.monotonic
        self._has_namesake = False  # another node has the same name
        self._refusals: set[str] = set()  # that were logged since the last success
        self.values = Parameters(self, table, interpret, self._on_parameters, more)
        self.steady_clock = Clock(clock_type=ClockType.STEADY_TIME)
        self._diagnostics: Publisher = self.create_publisher(
            DiagnosticArray, '/diagnostics', DIAGNOSTICS, event_callbacks=NO_PUBLISHER_EVENTS
        )
        self._timer: Timer | None = None
        self._running_clock = RunningClock()  # read by the timer

    @property
    def autostart(self) -> bool:
        """Whether to configure and activate at start; True for an invalid value, to log that."""
        return self.values['autostart'] is not False

    @property
    def is_blocked(self) -> bool:
        """True while a call that can't be interrupted is blocked."""
        return False

    @property
    def is_lost(self) -> bool:
        """True if a call has been blocked for so long that only a new process helps."""
        return False

    @property
    def running(self) -> bool:
        """True while the node is active."""
        return self._timer is not None

    @property
    def interrupted(self) -> bool:
        """True if this process is asked to end."""
        return False

    def prepare(self) -> None:
        """Import what loading needs; called once, before callbacks run."""

    def configure(self) -> None:
        """Create publishers, load models or begin to. Raises the reason if that is impossible."""
        raise NotImplementedError

    def is_loaded(self, timeout: float) -> bool:
        """Wait for what is being loaded; False after `timeout` [s]. Raises why it failed."""
        return True

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

    def begin_configure(self) -> None:
        """Read the parameters and begin to configure, unless begun. Raises why if refused."""
        if self._begun is not None:
            return
        try:
            check_overrides(self)
            self.values.read()
            self.values.fixed = True
            self.configure()
        finally:
            self.has_new_parameters = False
        self._begun = time.monotonic()
        self._next_loading_log = self._begun + LOADING_PERIOD

    @property
    def file_log(self) -> RcutilsLogger:
        """
        Logger of what depends on files: not on /rosout if a file was set at run time.

        A stranger on the network may have set it, who must not learn which files exist.
        """
        return LOCAL_LOG if self.values.file_was_set else self.get_logger()

    @property
    def loading_time(self) -> float:
        """Time since the attempt to configure began [s]; 0 if none has."""
        return 0.0 if self._begun is None else time.monotonic() - self._begun

    def report_loading(self) -> None:
        """Report on /diagnostics and in the log that loading goes on; call it repeatedly."""
        now, seconds = time.monotonic(), self.loading_time
        message = f'{self.loads} has been loading for {seconds:.0f} s'
        is_slow = seconds > LOADING_TIMEOUT
        self.report(DiagnosticStatus.ERROR if is_slow else DiagnosticStatus.WARN, message)
        if now >= self._next_loading_log:
            self._next_loading_log += LOADING_PERIOD
            self.get_logger().info(message)

    def refuse(self, error: Exception, what: str = 'not configured') -> None:
        """
        Log why a transition failed and release everything.

        Nodes with `autostart`, which try again and again, log each reason once.
        """
        self.refusal = error
        is_expected = isinstance(
            error, (NotReadyError, ParameterException, RuntimeError, TypeError, ValueError)
        )
        reason = one_line(str(error)) if is_expected else ''.join(format_exception(error))
        if reason not in self._refusals:
            self.file_log.error(f'{what}: {reason}')
        if self.autostart:
            self._refusals.add(reason)
        self._release()

    def report_failure(self, error: Exception, next_attempt: float | None) -> None:
        """
        Report on /diagnostics why the node is not configured; call it repeatedly.

        next_attempt: seconds until then; None: when a parameter is set.
        """
        reason = one_line(str(error))
        if self.values.file_was_set:
            message = f'not configured: {FILE_REFUSED}'
        elif next_attempt is not None:
            message = f'waiting: {reason}; next attempt in {next_attempt:.0f} s'
        else:
            message = f'not configured: {reason}; the next attempt follows when a parameter is set'
        self.report(DiagnosticStatus.ERROR, message)

    def report(self, level: bytes, message: str) -> None:
        """Publish the state of a node that is not active, at most once a second."""
        now = time.monotonic()
        if now >= self._next_report:
            self._next_report = now + DIAGNOSTICS_PERIOD
            self._publish([self._state(level, message)])

    def end_timer(self, timer: Timer) -> None:
        """Destroy a timer; its callback is not called again, even if it is due."""
        if self.context.ok():  # otherwise its timers are already destroyed
            timer.cancel()
        self.destroy_timer(timer)

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """
        Read the parameters and configure; on an error log the reason and return FAILURE.

        rclpy runs transitions in the executor: if a lifecycle manager asks for this one, other
        callbacks wait while the model is loaded, at most LOADING_TIMEOUT. BringUp calls it when
        nothing is left to be loaded.
        """
        try:
            self.begin_configure()
            while not self.is_loaded(POLL_PERIOD):
                if self.interrupted:
                    raise RuntimeError(f'interrupted while {self.loads} was being loaded')
                if self.loading_time > LOADING_TIMEOUT:
                    raise LoadingTimeoutError(
                        f'{self.loads} was not loaded within {LOADING_TIMEOUT:g} s'
                    )
                self.report_loading()
        except Exception as error:
            self.refuse(error)
            return TransitionCallbackReturn.FAILURE
        self.configured = True
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Activate; publish diagnostics once a second."""
        super().on_activate(state)
        try:
            self.activate()
        except Exception as error:
            self.refuse(error, 'not activated')
            return TransitionCallbackReturn.ERROR
        self._refusals.clear()
        self._running_clock = RunningClock()
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

    def _stop(self) -> None:
        if self._timer is not None:
            self.end_timer(self._timer)
            self._timer = None
        self.stop()

    def _release(self) -> None:
        self._stop()
        self.release()
        self.values.fixed = False
        self.configured = False
        self._begun = None

    def _on_timer(self) -> None:
        gap = self._running_clock.take_gap()
        if gap >= STANDSTILL:  # what is waiting comes first: inputs are checked next time
            self.get_logger().warning(
                f'no callback ran for {gap:.0f} s: the process was stopped, had no CPU time, '
                'or another callback blocked its executor; images of that time are lost'
            )
            return
        self._warn_of_namesake()
        self.check_inputs()
        self._publish_diagnostics()

    def _warn_of_namesake(self) -> None:
        """Warn once while another node has the same name: both publish the same topics."""
        own = (self.get_name(), self.get_namespace())
        has_namesake = self.get_node_names_and_namespaces().count(own) > 1
        if has_namesake and not self._has_namesake:
            self.get_logger().warning(
                f'another node has the name {self.get_fully_qualified_name()}: everything is '
                'published twice; stop one, or give it another name or namespace'
            )
        self._has_namesake = has_namesake

    def _publish_diagnostics(self) -> None:
        state = 'active' if self.running else 'inactive'
        self._publish([*self.statuses(), self._state(DiagnosticStatus.OK, state)])

    def _publish(self, statuses: list[DiagnosticStatus]) -> None:
        message = DiagnosticArray(status=statuses)
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)

    def _state(self, level: bytes, message: str) -> DiagnosticStatus:
        name = f'{self.get_fully_qualified_name()}: state'
        return DiagnosticStatus(level=level, name=name, message=message)

    def _on_parameters(self, names: set[str]) -> None:
        self.has_new_parameters = True
        self.parameters_changed(names)
