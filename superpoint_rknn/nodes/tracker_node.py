"""The managed node `tracker`: images and their keypoints in, tracks out."""

from __future__ import annotations

import sys
import traceback

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import ParameterException
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from superpoint_rknn.nodes.camera import FEATURES
from superpoint_rknn.nodes.diagnostics import images_status
from superpoint_rknn.nodes.parameter_table import AUTOSTART, Parameters, declare_parameter
from superpoint_rknn.nodes.process import Interruption, run_node
from superpoint_rknn.nodes.tracker_camera import TrackerCamera
from superpoint_rknn.nodes.tracker_parameters import PARAMETERS, track_settings_of

DIAGNOSTICS_PERIOD = 1.0  # [s]


class TrackerNode(LifecycleNode):
    """
    Follows the keypoints of a camera over time.

    Callbacks only hand messages over; one thread does the work. Every image is tracked, those
    that have no keypoints too.
    """

    hangs = False  # nothing here can't be interrupted

    def __init__(self, interruption: Interruption | None = None, **kwargs):
        super().__init__('tracker', **kwargs)
        self.autostart = declare_parameter(self, AUTOSTART)
        self.finalized = False
        self._values = Parameters(self, PARAMETERS, track_settings_of, self._on_parameters)
        self._camera: TrackerCamera | None = None
        self._diagnostics = None
        self._timer = None

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Read parameters, advertise topics; returns failure if one is bad."""
        try:
            self._values.declare()
            self._camera = TrackerCamera(self, self._values)
            self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', FEATURES)
        except (ParameterException, RuntimeError, TypeError, ValueError) as error:
            return self._refuse(str(error))
        except Exception:  # rclpy would hide it
            return self._refuse(traceback.format_exc())
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe to all topics, start the thread and the timer."""
        super().on_activate(state)
        try:
            self._camera.activate()
        except Exception:  # rclpy would hide it
            self.get_logger().error(f'not activated:\n{traceback.format_exc()}')
            return TransitionCallbackReturn.ERROR
        self._timer = self.create_timer(
            DIAGNOSTICS_PERIOD,
            self._publish_diagnostics,
            clock=Clock(clock_type=ClockType.STEADY_TIME),
        )
        return TransitionCallbackReturn.SUCCESS

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Take no more images; report the final counts."""
        self._stop()
        self._publish_diagnostics()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release the topics."""
        self._release()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Go down in order, from wherever the node is."""
        if self._timer is not None:
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
            self.destroy_timer(self._timer)
            self._timer = None
        if self._camera is not None:
            self._camera.deactivate()

    def _release(self) -> None:
        """Give up whatever is held, in any state."""
        self._stop()
        if self._camera is not None:
            self._camera.destroy()
            self._camera = None
        if self._diagnostics is not None:
            self.destroy_publisher(self._diagnostics)
            self._diagnostics = None

    def _on_parameters(self, changed: set[str]) -> None:
        """Nothing to do: all are looked up at each image."""

    def _publish_diagnostics(self) -> None:
        camera = self._camera
        message = DiagnosticArray()
        message.header.stamp = self.get_clock().now().to_msg()
        message.status = [
            images_status(
                f'{self.get_fully_qualified_name()}: camera',
                camera.accounting,
                {'tracks': 'published', 'feature': 'features', 'descriptors': 'descriptors'},
                {
                    'tracks_alive': camera.alive,
                    **{f'tracks_{what}': n for what, n in camera.tracker.counts.items()},
                },
            )
        ]
        self._diagnostics.publish(message)


def main(args: list[str] | None = None) -> int:
    """Run the node until it is interrupted; returns the exit code."""
    return run_node(TrackerNode, args)


if __name__ == '__main__':
    sys.exit(main())
