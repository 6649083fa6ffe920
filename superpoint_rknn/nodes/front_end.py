"""Front end: `superpoint` and `tracker` in one process, which share images and features."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from rclpy.context import Context
from rclpy.executors import Executor, ExternalShutdownException
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.utilities import get_default_context

from superpoint_rknn.errors import NotReadyError
from superpoint_rknn.msg import Keypoints
from superpoint_rknn.nodes.common.diagnostics import THROTTLE
from superpoint_rknn.nodes.common.executor import create_executor
from superpoint_rknn.nodes.common.in_process import InProcessCameras
from superpoint_rknn.nodes.common.interruption import Interruption
from superpoint_rknn.nodes.common.managed_node import ManagedNode
from superpoint_rknn.nodes.common.process import (
    WAKE_UP,
    run_nodes,
    take_down,
)
from superpoint_rknn.nodes.superpoint.node import SuperPointNode
from superpoint_rknn.nodes.tracker.node import TrackerNode
from superpoint_rknn.parameters import unknown_parameter


class NotStartedError(RuntimeError):
    """A node did not start; the message has the reason."""


class NotReadyToStartError(NotStartedError, NotReadyError):
    """A node did not start, since something that it needs is missing: it may start later."""


class FrontEnd:
    """
    The nodes superpoint and tracker in the caller's process.

    Images are received and converted once; features are passed between the nodes as objects.
    Both nodes publish their topics as usual. As a context manager, it starts and closes both.

    context: ROS context; None: the default one.
    executor: runs the callbacks of both nodes; None creates one, see `spin`.
    namespace: of both nodes.
    parameters: values by name; each node uses those that it declares.
    remappings: of topic names, for example {'image': '/cam0/image_raw'}.
    """

    def __init__(
        self,
        context: Context | None = None,
        *,
        executor: Executor | None = None,
        namespace: str = '',
        parameters: Mapping[str, Any] | None = None,
        remappings: Mapping[str, str] | None = None,
    ):
        """Raise TypeError or rclpy's ParameterException for a parameter of an invalid type."""
        self._context = get_default_context() if context is None else context
        self._parameters = dict(parameters or {})
        self._in_process = InProcessCameras()
        rules = [text for pair in (remappings or {}).items() for text in ('-r', ':='.join(pair))]
        options: dict[str, Any] = {
            'in_process': self._in_process,
            'context': self._context,
            'namespace': namespace,
            'parameter_overrides': [Parameter(n, value=v) for n, v in self._parameters.items()],
            'cli_args': ['--ros-args', *rules] if rules else None,
        }
        self.superpoint = SuperPointNode(**options)
        self.tracker = TrackerNode(**options)
        _share_parameter_names(self.superpoint, self.tracker)
        self.executor = create_executor(self._context) if executor is None else executor
        self._owns_executor = executor is None
        for node in self.nodes:
            self.executor.add_node(node)

    @property
    def nodes(self) -> list[ManagedNode]:
        """Both nodes, superpoint first."""
        return [self.superpoint, self.tracker]

    def on_tracks(self, callback: Callable[[Keypoints], None], camera: str = '') -> None:
        """
        Call a function with the tracks of each image of a camera when they are published.

        callback: called in the tracker's thread and blocks the camera's next image; must not
        change the message. Its exceptions are logged.
        Raises ValueError, here or in `start`, if there is no such camera.
        """

        def guarded(tracks: Keypoints) -> None:
            try:
                callback(tracks)
            except Exception:
                self.tracker.get_logger().error(
                    f'on_tracks:\n{traceback.format_exc()}', **THROTTLE
                )

        self._in_process[camera].tracks.subscribe(guarded)
        if self.superpoint.configured:
            self._check_names()

    def start(self) -> None:
        """
        Configure and activate both nodes; call it while no other thread spins them.

        The first node publishes for the second: it is activated last. Nothing is tried again.
        Raises NotStartedError if a node does not start, its subclass NotReadyToStartError if a
        later call may work (the NPU is not ready, a file is missing), ValueError for an unknown
        parameter or camera.
        """
        try:
            for node in self.nodes:
                _check(node, node.trigger_configure())
            for node in self.nodes[::-1]:
                _check(node, node.trigger_activate())
            self._check_names()
        except Exception:
            self.stop()
            raise

    def stop(self) -> None:
        """Deactivate both nodes and close the runtime; `start` starts them again."""
        for node in self.nodes:
            if node.running:
                node.trigger_deactivate()
        for node in self.nodes:
            if node.configured:
                node.trigger_cleanup()

    def spin(self) -> None:
        """Run callbacks until the context is shut down or Ctrl-C."""
        with suppress(ExternalShutdownException):
            while self._context.ok():
                self.executor.spin_once(timeout_sec=WAKE_UP)

    def close(self) -> None:
        """Shut both nodes down and remove them from the executor."""
        take_down(self.nodes)
        for node in self.nodes:
            self.executor.remove_node(node)
        if self._owns_executor:
            self.executor.shutdown()
        for node in self.nodes:
            node.destroy_node()

    def _check_names(self) -> None:
        for name in self._parameters:
            if not any(node.has_parameter(name) for node in self.nodes):
                known = [each for node in self.nodes for each in node.values.names]
                raise ValueError(f'FrontEnd(parameters=...): {unknown_parameter(name, known)}')
        cameras = list(self.superpoint.values['cameras'])
        for name in self._in_process:
            if name not in cameras:
                raise ValueError(f'camera {name!r}: the parameter `cameras` is {cameras}')

    def __enter__(self) -> FrontEnd:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _check(node: ManagedNode, result: TransitionCallbackReturn) -> None:
    """Raise NotStartedError unless a transition succeeded."""
    if result != TransitionCallbackReturn.SUCCESS:
        is_missing = isinstance(node.refusal, NotReadyError)
        kind = NotReadyToStartError if is_missing else NotStartedError
        raise kind(f'{node.get_name()} did not start: {node.refusal}') from node.refusal


def _create(interruption: Interruption) -> list[ManagedNode]:
    in_process = InProcessCameras()
    nodes = SuperPointNode(interruption, in_process), TrackerNode(interruption, in_process)
    _share_parameter_names(*nodes)
    return list(nodes)


def _share_parameter_names(superpoint: SuperPointNode, tracker: TrackerNode) -> None:
    """Let each node accept the parameter names of the other, which get the same arguments."""
    superpoint.values.other_nodes = [tracker.values]
    tracker.values.other_nodes = [superpoint.values]


def main(args: list[str] | None = None) -> int:
    """Run both nodes until they are interrupted; return the exit code."""
    return run_nodes(_create, args)


if __name__ == '__main__':
    sys.exit(main())
