"""
Node that publishes keypoints and tracks as foxglove_msgs/ImageAnnotations.

Foxglove draws them over the image, so no overlay image is sent. Run it on the computer that shows
them, in the namespace of the camera; it needs the package foxglove_msgs:

  ros2 run superpoint_rknn annotations_node --ros-args -r __ns:=/cam0
"""

from __future__ import annotations

import sys
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
import rclpy
from builtin_interfaces.msg import Time
from rclpy.node import Node

from superpoint_rknn.msg import Keypoints
from superpoint_rknn.nodes.common import qos
from superpoint_rknn.nodes.common.diagnostics import THROTTLE
from superpoint_rknn.nodes.common.executor import NO_SUBSCRIPTION_EVENTS, create_executor
from superpoint_rknn.nodes.common.interruption import Interruption
from superpoint_rknn.nodes.common.overlay import Tails, score_colours
from superpoint_rknn.nodes.common.process import WAKE_UP, initialize
from superpoint_rknn.nodes.tracker.messages import points_of, tracks_of

ANNOTATED = {'keypoints': 'keypoints_annotations', 'tracks': 'tracks_annotations'}
THICKNESS = {'points': 5.0, 'tails': 1.0}  # [px] diameter of a point, width of a line


class AnnotationsNode(Node):
    """
    Convert `keypoints` and `tracks` of one camera while somebody subscribes to the result.

    messages: the module foxglove_msgs.msg.
    """

    def __init__(self, messages: ModuleType):
        super().__init__('annotations')
        self._messages = messages
        self._tails = Tails()
        self._outputs = {
            topic: self.create_publisher(messages.ImageAnnotations, name, qos.OVERLAYS)
            for topic, name in ANNOTATED.items()
        }
        for topic, convert in (('keypoints', self._keypoints), ('tracks', self._tracks)):
            self.create_subscription(
                Keypoints,
                topic,
                partial(self._convert, topic, convert),
                qos.FEATURES,
                event_callbacks=NO_SUBSCRIPTION_EVENTS,
            )

    def _convert(self, topic: str, annotations: Any, message: Keypoints) -> None:
        output = self._outputs[topic]
        if not output.get_subscription_count():
            self._tails.clear()
            return
        try:
            output.publish(annotations(message))
        except ValueError as error:
            self.get_logger().warning(f'{topic} not shown: {error}', **THROTTLE)

    def _keypoints(self, message: Keypoints) -> Any:
        points = points_of(message)
        xy = np.stack([points.x, points.y], axis=1)
        drawn = [dots(self._messages, message.header.stamp, xy, score_colours(points.score))]
        return self._messages.ImageAnnotations(points=drawn)

    def _tracks(self, message: Keypoints) -> Any:
        self._tails.update(tracks_of(message))
        stamp, positions = message.header.stamp, self._tails.positions
        colours = self._tails.colours()
        drawn = [
            dots(self._messages, stamp, positions[:, -1], colours),
            segments(self._messages, stamp, positions, colours),
        ]
        return self._messages.ImageAnnotations(points=drawn)


def dots(messages: ModuleType, stamp: Time, xy: np.ndarray, colours: np.ndarray) -> Any:
    """
    Return a PointsAnnotation of points.

    xy: (N, 2) [px], 0 is the centre of the first pixel. colours: (N, 3) uint8 BGR.
    """
    kind = messages.PointsAnnotation
    return _annotation(messages, stamp, kind.POINTS, xy, colours, THICKNESS['points'])


def segments(messages: ModuleType, stamp: Time, positions: np.ndarray, colours: np.ndarray) -> Any:
    """
    Return a PointsAnnotation of the tails of tracks, as pairs of points.

    positions: (N, TAIL, 2) [px]. colours: (N, 3) uint8 BGR, one per track.
    """
    pairs = np.stack([positions[:, :-1], positions[:, 1:]], axis=2)  # (N, TAIL - 1, 2, 2)
    moved = (pairs[:, :, 0] != pairs[:, :, 1]).any(axis=2)
    kind = messages.PointsAnnotation
    return _annotation(
        messages,
        stamp,
        kind.LINE_LIST,
        pairs[moved].reshape(-1, 2),
        colours[np.nonzero(moved)[0]],
        THICKNESS['tails'],
    )


def _annotation(
    messages: ModuleType,
    stamp: Time,
    kind: int,
    xy: np.ndarray,
    colours: np.ndarray,
    thickness: float,
) -> Any:
    """Return a PointsAnnotation; Foxglove's pixels begin at their corner, ours at their centre."""
    points = [messages.Point2(x=x, y=y) for x, y in (xy + 0.5).astype(float).tolist()]
    rgb = (colours[:, ::-1] / 255).tolist()
    outlines = [messages.Color(r=r, g=g, b=b, a=1.0) for r, g, b in rgb]
    return messages.PointsAnnotation(
        timestamp=stamp, type=kind, points=points, outline_colors=outlines, thickness=thickness
    )


def main(args: list[str] | None = None) -> int:
    """Run the node until it is interrupted; return the exit code."""
    try:
        from foxglove_msgs import msg as messages
    except ModuleNotFoundError:
        print(
            'annotations_node needs foxglove_msgs: sudo apt install ros-$ROS_DISTRO-foxglove-msgs',
            file=sys.stderr,
        )
        return 1
    interruption = Interruption()
    if not initialize(args):
        return 1
    node = AnnotationsNode(messages)
    executor = create_executor()
    executor.add_node(node)
    while not interruption.requested:
        executor.spin_once(timeout_sec=WAKE_UP)
    executor.shutdown()
    node.destroy_node()
    rclpy.shutdown()
    return 0


if __name__ == '__main__':
    sys.exit(main())
