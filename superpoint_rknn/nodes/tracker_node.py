"""The managed node `tracker`: images and their keypoints in, tracks out."""

from __future__ import annotations

import sys

from diagnostic_msgs.msg import DiagnosticStatus

from superpoint_rknn.nodes.diagnostics import images_status
from superpoint_rknn.nodes.managed_node import ManagedNode
from superpoint_rknn.nodes.process import Interruption, run_node
from superpoint_rknn.nodes.tracker_camera import TrackerCamera
from superpoint_rknn.nodes.tracker_parameters import PARAMETERS, track_settings_of


class TrackerNode(ManagedNode):
    """
    Follows the keypoints of a camera over time.

    Callbacks only hand messages over; one thread does the work. Every image is tracked, those
    that have no keypoints too.
    """

    def __init__(self, interruption: Interruption | None = None, **kwargs):
        self._camera: TrackerCamera | None = None
        super().__init__('tracker', PARAMETERS, track_settings_of, **kwargs)

    def configure(self) -> None:
        """Advertise topics."""
        self._camera = TrackerCamera(self, self.values)

    def activate(self) -> None:
        """Subscribe to all topics, start the thread."""
        self._camera.activate()

    def stop(self) -> None:
        """Take no more images."""
        if self._camera is not None:
            self._camera.deactivate()

    def release(self) -> None:
        """Take the topics down."""
        if self._camera is not None:
            self._camera.destroy()
            self._camera = None

    def statuses(self) -> list[DiagnosticStatus]:
        """Counts, rates, stage times and the tracks alive."""
        camera = self._camera
        status = images_status(
            f'{self.get_fully_qualified_name()}: camera',
            camera.accounting,
            {'tracks': 'published', 'feature': 'features', 'descriptors': 'descriptors'},
            {
                'tracks_alive': camera.alive,
                **{f'tracks_{what}': n for what, n in camera.tracker.counts.items()},
            },
        )
        return [status]


def main(args: list[str] | None = None) -> int:
    """Run the node until it is interrupted; returns the exit code."""
    return run_node(TrackerNode, args)


if __name__ == '__main__':
    sys.exit(main())
