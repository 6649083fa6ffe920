"""
Estimate the motion of a body from the tracker's `feature` and an IMU; publish `odometry`, `path`.

  python3 examples/vio_node.py --ros-args -p body_from_camera:=[...] -r feature:=/cam0/feature

It needs gtsam (./dev gtsam), and of the tracker `feature.format: vins_fusion`. Parameters:
body_from_camera, the pose of the camera in the frame of the IMU, 4x4 row by row; and the settings
of superpoint_rknn/vio/settings.py, first of all the noise densities of the IMU.
"""

import sys
from collections import deque
from dataclasses import fields

import gtsam
import numpy as np
import rclpy
from geometry_msgs.msg import PoseStamped, Quaternion
from nav_msgs.msg import Odometry, Path
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import Imu, PointCloud
from std_msgs.msg import Bool

from superpoint_rknn.nodes.common.messages import nanoseconds
from superpoint_rknn.vio.estimator import Estimator
from superpoint_rknn.vio.settings import EstimatorSettings

WORLD, BODY = 'world', 'body'
# Queues for the time while a start is computed.
FEATURES = QoSProfile(depth=1000, reliability=ReliabilityPolicy.RELIABLE)
# Many drivers publish BEST_EFFORT; qos_overrides./imu.subscription.reliability changes it.
IMU = QoSProfile(depth=5000, reliability=ReliabilityPolicy.BEST_EFFORT)
OVERRIDABLE = {'qos_overriding_options': QoSOverridingOptions.with_default_policies()}


class VioNode(Node):
    """Pass features and IMU samples to the estimator in order of time; publish its states."""

    def __init__(self):
        super().__init__('vio')
        settings = EstimatorSettings(
            **{
                field.name: self.declare_parameter(field.name, field.default).value
                for field in fields(EstimatorSettings)
            }
        )
        pose = self.declare_parameter('body_from_camera', [0.0]).value
        if len(pose) != 16:
            raise ValueError(
                f'body_from_camera: {len(pose)} numbers, expected 16: 4x4, row by row'
            )
        self._estimator = Estimator(settings, np.reshape(pose, (4, 4)))
        self._waiting = deque()  # features that are newer than the newest IMU sample
        self._imu_time = -np.inf
        self._path = Path()
        self._path.header.frame_id = WORLD
        self._odometry_publisher = self.create_publisher(Odometry, 'odometry', 10)
        self._path_publisher = self.create_publisher(Path, 'path', 1)
        self.create_subscription(Imu, 'imu', self._on_imu, IMU, **OVERRIDABLE)
        self.create_subscription(PointCloud, 'feature', self._on_feature, FEATURES)
        self.create_subscription(Bool, 'restart', self._on_restart, FEATURES)

    def _on_imu(self, message):
        rate, force = message.angular_velocity, message.linear_acceleration
        self._imu_time = seconds(message.header.stamp)
        self._estimator.add_imu(
            self._imu_time,
            np.array([rate.x, rate.y, rate.z]),
            np.array([force.x, force.y, force.z]),
        )
        self._process_waiting()

    def _on_feature(self, message):
        self._waiting.append(message)
        self._process_waiting()

    def _on_restart(self, message):
        if message.data:
            self._waiting.clear()
            self._imu_time = -np.inf
            self._path.poses.clear()
            self._estimator.restart()

    def _process_waiting(self):
        while self._waiting and seconds(self._waiting[0].header.stamp) <= self._imu_time:
            self._process(self._waiting.popleft())

    def _process(self, message):
        """Estimate the state at an image and publish it; the order of channels is in vins.py."""
        ids = np.array(message.channels[0].values).astype(int)
        directions = np.array([(point.x, point.y) for point in message.points]).reshape(-1, 2)
        is_left = np.array(message.channels[1].values) == 0
        stamp = message.header.stamp
        state = self._estimator.add_tracks(seconds(stamp), ids[is_left], directions[is_left])
        if state is None:
            return
        odometry = Odometry(child_frame_id=BODY)
        odometry.header.stamp, odometry.header.frame_id = stamp, WORLD
        pose = odometry.pose.pose
        pose.position.x, pose.position.y, pose.position.z = state.position.tolist()
        turn = gtsam.Rot3(state.rotation).toQuaternion()
        pose.orientation = Quaternion(x=turn.x(), y=turn.y(), z=turn.z(), w=turn.w())
        velocity = odometry.twist.twist.linear  # in the frame of the body
        velocity.x, velocity.y, velocity.z = (state.rotation.T @ state.velocity).tolist()
        self._odometry_publisher.publish(odometry)
        self._path.header.stamp = stamp
        self._path.poses.append(PoseStamped(header=odometry.header, pose=pose))
        self._path_publisher.publish(self._path)


def seconds(stamp):
    """Time of a stamp [s]."""
    return nanoseconds(stamp) / 1e9


def main():
    rclpy.init()
    try:
        rclpy.spin(VioNode())
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except ValueError as error:
        print(f'vio: {error}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
