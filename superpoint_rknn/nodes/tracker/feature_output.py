"""Publish `feature` and `restart` for a VIO estimator (VINS-Fusion, VINS-Mono)."""

from __future__ import annotations

from collections.abc import Sequence

from rclpy.lifecycle import LifecycleNode
from rclpy.lifecycle.publisher import LifecyclePublisher
from std_msgs.msg import Bool, Header

from superpoint_rknn.features.rate import EveryNth
from superpoint_rknn.nodes.common.diagnostics import THROTTLE, ImageCounters
from superpoint_rknn.nodes.common.messages import nanoseconds
from superpoint_rknn.nodes.common.parameters import Parameters
from superpoint_rknn.nodes.tracker.calibration import CameraTracks
from superpoint_rknn.nodes.tracker.vins import VinsAdapter, feature_message

MAX_WITHOUT_DIRECTION = 0.5  # share of the points above which it is a warning


class FeatureOutput:
    """
    Publish `feature` and `restart` for one camera or stereo pair. Not thread-safe.

    feature, restart: publishers of sensor_msgs/PointCloud and std_msgs/Bool, of all cameras.
    numbers: indices of these cameras among all. VINS-Fusion supports one camera or stereo pair:
    only the first is published for it.
    """

    def __init__(
        self,
        node: LifecycleNode,
        parameters: Parameters,
        counters: ImageCounters,
        feature: LifecyclePublisher,
        restart: LifecyclePublisher,
        numbers: Sequence[int],
    ):
        self._log = node.get_logger()
        self._parameters = parameters
        self._counters = counters
        self._feature = feature
        self._restart = restart
        self._numbers = numbers
        self._adapter: VinsAdapter | None = None
        self._logged: tuple[int, float] | None = None  # n and feature.rate
        self.details: dict[str, object] = {}  # for /diagnostics: which images have a message
        self.warning: str | None = None  # why `feature` lacks points, for /diagnostics

    def restart(self) -> None:
        """Publish `restart` if features were published, and start a new sequence."""
        if self._adapter is not None:
            self._restart.publish(Bool(data=True))
        self.reset()

    def reset(self) -> None:
        """Start a new sequence: the next features do not continue the previous ones."""
        self._adapter = self.warning = None

    def publish(
        self, header: Header, left: CameraTracks, right: CameraTracks | None = None
    ) -> None:
        """
        Publish the features of an image; without a camera model, only warn.

        right: the same tracks in the right image of a stereo pair; None: there is none.
        """
        style = self._parameters['feature.format']
        if style == 'off' or (style == 'vins_fusion' and self._numbers[0] > 0):
            self._adapter, self.warning, self.details = None, None, {}
            return
        self.warning = None
        for view in (left, right):
            if view is not None and view.camera_model is None:
                self._warn(f'needs a calibrated camera: {view.calibration.error_message}')
        if left.camera_model is None:
            return
        cameras = len(self._parameters['cameras'])
        if self._adapter is None or self._adapter.style != style:
            self._adapter = VinsAdapter(style, cameras, self._numbers)
        rate = self._parameters['feature.rate']
        features = self._adapter.update(
            nanoseconds(header.stamp),
            left.tracks,
            left.camera_model,
            rate,
            None
            if right is None or right.camera_model is None
            else (right.tracks, right.camera_model),
        )
        if self._adapter.without_direction > MAX_WITHOUT_DIRECTION:
            self._warn(
                'lacks most points, since no viewing direction leads to them: check the '
                'distortion coefficients of the calibration'
            )
        if features is not None:
            self._feature.publish(feature_message(header, features, style, cameras))
            self._counters.count('features')
        self._report_rate(self._adapter.every_nth, rate)

    def _warn(self, text: str) -> None:
        self.warning = f'`feature` {text}'
        self._log.warning(self.warning, **THROTTLE)

    def _report_rate(self, every_nth: EveryNth, wanted: float) -> None:
        """Update `details`; log the rate of `feature` once for each n and wanted rate [Hz]."""
        n, camera = every_nth.n, every_nth.camera_rate
        if camera is None:
            return
        self.details = {'camera_rate_hz': f'{camera:.2f}', 'feature_every_nth_image': n}
        if self._logged != (n, wanted):
            self._logged = n, wanted
            self._log.info(
                f'`feature` at {camera / n:.1f} Hz: '
                + ('every image' if n == 1 else f'one of {n} images')
                + f' of a camera of {camera:.1f} Hz, feature.rate is {wanted:g} Hz'
            )
