"""What the tracker publishes for an estimator, and the calibration that it takes."""

from __future__ import annotations

import numpy as np
from rclpy.lifecycle import LifecycleNode
from rclpy.lifecycle.publisher import LifecyclePublisher
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Bool, Header

from superpoint_rknn.features.lens import Lens
from superpoint_rknn.features.tracks import Tracks
from superpoint_rknn.nodes.camera import THROTTLE
from superpoint_rknn.nodes.diagnostics import Accounting
from superpoint_rknn.nodes.parameter_table import Parameters
from superpoint_rknn.nodes.tracker_queue import nanoseconds
from superpoint_rknn.nodes.vins_adapter import VinsAdapter, feature_message, lens_of


class Calibration:
    """The lens that the newest camera_info states, made anew only when that changes."""

    def __init__(self):
        self.info: CameraInfo | None = None
        self.trouble = 'nothing received'  # why there is no lens, while there is none
        self._made_of: tuple | None = None
        self._lens: Lens | None = None

    def lens(self, size: tuple[int, int]) -> Lens | None:
        """Lens for images of a size (height, width); None if it isn't known."""
        info = self.info
        if info is None:
            return None
        made_of = (
            *(size, info.height, info.width, info.distortion_model),
            *(np.asarray(info.k).tobytes(), np.asarray(info.d).tobytes()),
            *(info.binning_x, info.binning_y, info.roi.x_offset, info.roi.y_offset),
        )
        if made_of != self._made_of:
            try:
                self._lens = lens_of(info, size)
            except ValueError as error:
                self._lens, self.trouble = None, str(error)
            self._made_of = made_of
        return self._lens


class FeatureOutput:
    """
    Publishes `feature` and `restart` as the parameters say; for one thread.

    feature, restart: publishers of sensor_msgs/PointCloud and std_msgs/Bool.
    """

    def __init__(
        self,
        node: LifecycleNode,
        parameters: Parameters,
        accounting: Accounting,
        feature: LifecyclePublisher,
        restart: LifecyclePublisher,
    ):
        self.calibration = Calibration()
        self._log = node.get_logger()
        self._info_topic = node.resolve_topic_name('camera_info')
        self._parameters = parameters
        self._accounting = accounting
        self._feature = feature
        self._restart = restart
        self._adapter: VinsAdapter | None = None

    def restart(self) -> None:
        """Tell the estimator to begin anew, if it was given anything."""
        if self._adapter is not None:
            self._restart.publish(Bool(data=True))
        self.forget()

    def forget(self) -> None:
        """What comes next doesn't continue what was before."""
        self._adapter = None

    def publish(self, header: Header, tracks: Tracks, lens: Lens | None) -> None:
        """Publish the tracks of an image, unless there is no lens: that is warned of."""
        style = self._parameters['feature.format']
        if style == 'off':
            self._adapter = None
            return
        if lens is None:
            self._log.warning(
                f'`feature` needs a calibrated camera: {self._info_topic}: '
                f'{self.calibration.trouble}',
                throttle_duration_sec=THROTTLE,
            )
            return
        if self._adapter is None or self._adapter.style != style:
            self._adapter = VinsAdapter(style)
        rate = self._parameters['feature.rate']
        features = self._adapter.update(nanoseconds(header.stamp), tracks, lens, rate)
        if features is not None:
            self._feature.publish(feature_message(header, features, style))
            self._accounting.count('features')
