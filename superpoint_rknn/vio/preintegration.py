"""IMU samples between images, and their preintegration."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

import gtsam
import numpy as np

from superpoint_rknn.vio.settings import EstimatorSettings

INTEGRATION_NOISE = 1e-4  # [m/sqrt(s)], of the integration itself
SAME_TIME = 1e-6  # [s]; a sample so near to an end is replaced by the interpolated one
MAX_GAP = 0.1  # [s] between samples, and between an image and the next sample


class ImuSamples:
    """The newest IMU samples, in order of time."""

    def __init__(self, settings: EstimatorSettings):
        parameters = gtsam.PreintegrationCombinedParams.MakeSharedU(settings.gravity)
        identity = np.eye(3)
        parameters.setGyroscopeCovariance(identity * settings.gyro_noise**2)
        parameters.setAccelerometerCovariance(identity * settings.acc_noise**2)
        parameters.setIntegrationCovariance(identity * INTEGRATION_NOISE**2)
        parameters.setBiasOmegaCovariance(identity * settings.gyro_walk**2)
        parameters.setBiasAccCovariance(identity * settings.acc_walk**2)
        self._parameters = parameters
        self._times: list[float] = []
        self._rows: list[np.ndarray] = []  # (6,) each: gyro [rad/s], acceleration [m/s^2]

    def add(self, time: float, gyro: np.ndarray, acc: np.ndarray) -> None:
        """Add a sample unless it is not newer than the last one, or not finite."""
        row = np.concatenate([gyro, acc]).astype(np.float64)
        if (not self._times or time > self._times[-1]) and np.isfinite(row).all():
            self._times.append(time)
            self._rows.append(row)

    def discard_before(self, time: float) -> None:
        """Discard samples that no interval from `time` on needs."""
        count = max(bisect_left(self._times, time) - 1, 0)
        del self._times[:count], self._rows[:count]

    def covers(self, start: float, end: float) -> bool:
        """True if there are samples from start to end [s], without a gap of MAX_GAP."""
        first = bisect_left(self._times, start - MAX_GAP)
        last = bisect_right(self._times, end + MAX_GAP)
        near = np.array(self._times[first:last])
        if not len(near) or near[0] > start + MAX_GAP:
            return False
        return bool(near[-1] > end - MAX_GAP and np.all(np.diff(near) < MAX_GAP))

    def between(self, start: float, end: float) -> tuple[np.ndarray, np.ndarray]:
        """
        Samples from start to end [s], interpolated at both ends.

        Returns times, (N,), and gyro and acceleration, (N, 6).
        """
        first = max(bisect_right(self._times, start) - 1, 0)
        last = bisect_left(self._times, end) + 1
        times, rows = np.array(self._times[first:last]), np.array(self._rows[first:last])
        is_inside = (times > start + SAME_TIME) & (times < end - SAME_TIME)
        wanted = np.concatenate([[start], times[is_inside], [end]])
        columns = [np.interp(wanted, times, column) for column in rows.T]
        return wanted, np.stack(columns, axis=1)

    def integrate(
        self, start: float, end: float, bias: gtsam.imuBias.ConstantBias
    ) -> gtsam.PreintegratedCombinedMeasurements:
        """
        Preintegrate the samples from start to end [s], see C. Forster et al., TRO 2017.

        bias: the one that the result is linearised at.
        """
        integrated = gtsam.PreintegratedCombinedMeasurements(self._parameters, bias)
        times, rows = self.between(start, end)
        steps = np.diff(times)
        mean = (rows[1:] + rows[:-1]) / 2
        gyro, acc = mean[:, :3], mean[:, 3:]
        # GTSAM rotates the acceleration by the attitude at the start of the step; the mean
        # acceleration belongs to its middle.
        turned = acc + 0.5 * steps[:, None] * np.cross(gyro - bias.gyroscope(), acc)
        for step, rate, acceleration in zip(steps, gyro, turned, strict=True):
            integrated.integrateMeasurement(acceleration, rate, step)
        return integrated
