"""The managed node `tracker`: images and their keypoints in, tracks out."""

from __future__ import annotations

import sys
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.lifecycle.publisher import LifecyclePublisher
from sensor_msgs.msg import PointCloud
from std_msgs.msg import Bool

from superpoint_rknn.nodes.common.background_read import BackgroundRead
from superpoint_rknn.nodes.common.camera_names import groups_of, title_of
from superpoint_rknn.nodes.common.diagnostics import images_status
from superpoint_rknn.nodes.common.in_process import InProcessCameras
from superpoint_rknn.nodes.common.interruption import Interruption
from superpoint_rknn.nodes.common.managed_node import ManagedNode
from superpoint_rknn.nodes.common.process import run_node
from superpoint_rknn.nodes.common.qos import FEATURES
from superpoint_rknn.nodes.tracker.calibration import Calibrations, read_calibrations
from superpoint_rknn.nodes.tracker.camera import TrackerCamera
from superpoint_rknn.nodes.tracker.feature_output import FeatureOutput
from superpoint_rknn.nodes.tracker.parameters import (
    PARAMETERS,
    parameters_of_cameras,
    track_settings_of,
)
from superpoint_rknn.nodes.tracker.thread import TrackerThread


class TrackerNode(ManagedNode):
    """
    Lifecycle node that tracks keypoints in the images of cameras.

    Callbacks only put messages into a queue; a thread per camera or stereo pair processes them.
    Every image is tracked, with or without keypoints.
    in_process: channels that replace the topics image, keypoints and descriptors; None: topics.
    """

    loads = 'the calibration'

    def __init__(
        self,
        interruption: Interruption | None = None,
        in_process: InProcessCameras | None = None,
        **kwargs: Any,
    ):
        self._in_process = in_process
        self._read: BackgroundRead[Calibrations] | None = None
        self._cameras: list[TrackerCamera] = []
        self._threads: list[TrackerThread] = []
        self._shared_publishers: list[LifecyclePublisher] = []
        super().__init__('tracker', PARAMETERS, track_settings_of, parameters_of_cameras, **kwargs)

    def configure(self) -> None:
        """Begin to read the calibration files."""
        values = {name: self.values[name] for name in self.values.names}
        self._read = BackgroundRead(lambda: read_calibrations(values), 'calibration')

    def is_loaded(self, timeout: float) -> bool:
        """
        Wait for the calibration files, then create the publishers.

        Returns False after `timeout` [s]. Raises the reason if that is impossible.
        """
        if self._read is not None:
            if not self._read.wait(timeout):
                return False
            read, self._read = self._read, None
            self._create(read.result())
        return True

    def _create(self, calibrations: Calibrations) -> None:
        groups = groups_of(self.values['cameras'], self.values['stereo'])
        if self._in_process is not None:
            self._in_process.check_groups(self.get_name(), groups)
        feature = self._publisher(PointCloud, 'feature')
        restart = self._publisher(Bool, 'restart')
        for names in groups:
            first = len(self._cameras)
            for name in names:
                in_process = None if self._in_process is None else self._in_process[name]
                self._cameras.append(
                    TrackerCamera(self, self.values, name, in_process, calibrations.get(name))
                )
            cameras = self._cameras[first:]
            numbers = range(first, len(self._cameras))
            output = FeatureOutput(
                self, self.values, cameras[0].counters, feature, restart, numbers
            )
            self._threads.append(TrackerThread(self, self.values, cameras, output))

    def activate(self) -> None:
        """Subscribe to all topics and start the threads."""
        for thread in self._threads:
            thread.activate()

    def stop(self) -> None:
        """Unsubscribe, drop waiting images and end the threads."""
        for thread in self._threads:
            thread.deactivate()

    def release(self) -> None:
        """Destroy the publishers."""
        self._read = None
        self._threads.clear()
        while self._cameras:
            self._cameras.pop().destroy()
        while self._shared_publishers:
            self.destroy_lifecycle_publisher(self._shared_publishers.pop())
        if self._in_process is not None:
            self._in_process.forget_groups(self.get_name())

    def check_inputs(self) -> None:
        """Check what arrives of all cameras."""
        for thread in self._threads:
            thread.inputs.check()

    def statuses(self) -> list[DiagnosticStatus]:
        """Return the status of each camera: counters, rates, stage timings, live tracks."""
        return [
            images_status(
                f'{self.get_fully_qualified_name()}: {title_of(camera.name)}',
                camera.counters,
                {'tracks': 'published', 'feature': 'features', 'descriptors': 'descriptors'},
                {
                    'tracks_alive': camera.alive,
                    **{f'tracks_{what}': n for what, n in thread.tracker.counts.items()},
                    **thread.output.details,
                },
                input_warning=camera.input_warning,
                live_tracks=camera.alive,
                output_warning=thread.output.warning,
            )
            for thread in self._threads
            for camera in thread.cameras
        ]

    def _publisher(self, kind: type, topic: str) -> LifecyclePublisher:
        publisher = self.advertise(kind, topic, FEATURES)
        self._shared_publishers.append(publisher)
        return publisher


def main(args: list[str] | None = None) -> int:
    """Run the node until it is interrupted; return the exit code."""
    return run_node(TrackerNode, args)


if __name__ == '__main__':
    sys.exit(main())
