"""
Match each described image with the one before; publish how the camera has moved.

  python3 examples/matcher.py --ros-args -r __ns:=/cam0
  ros2 launch superpoint_rknn superpoint.launch.py camera:=cam0 params_file:=config/matching.yaml

It subscribes to `descriptors` and `camera_info` (calibrated, of images without distortion) and
publishes `relative_pose`, geometry_msgs/PoseStamped: rotation and direction of the camera in the
frame it had in the image before. The translation has length 1, since one camera sees no scale.
Without a calibration it logs the homography's inliers only.
"""

import contextlib
import sys

import cv2
import numpy as np
import rclpy
from geometry_msgs.msg import PoseStamped, Quaternion
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo

from superpoint_rknn.evaluate.metrics import mutual_neighbours
from superpoint_rknn.msg import Descriptors
from superpoint_rknn.nodes.tracker.messages import descriptor_rows, points_of

LIMIT = 1.0  # [px] distance from the epipolar line, or from the place of the homography
FEWEST = 15  # inliers


class Matcher(Node):
    """Keep the newest described image and match the next one with it."""

    def __init__(self):
        super().__init__('matcher')
        self._camera = None  # (3, 3)
        self._before = None  # message of descriptors
        self._publisher = self.create_publisher(PoseStamped, 'relative_pose', 10)
        self.create_subscription(CameraInfo, 'camera_info', self._on_info, qos_profile_sensor_data)
        self.create_subscription(Descriptors, 'descriptors', self._on_descriptors, 5)

    def _on_info(self, message):
        camera = np.reshape(message.k, (3, 3))
        self._camera = camera if camera[0, 0] > 0 else None

    def _on_descriptors(self, message):
        before, self._before = self._before, message
        # Descriptors of different models are not comparable.
        if before is None or before.model != message.model:
            return
        first, second = matched_points(before, message)
        if len(first) < FEWEST:
            self.get_logger().warning(f'{len(first)} matches: too few')
            return
        if self._camera is None:
            _, inliers = cv2.findHomography(first, second, cv2.USAC_MAGSAC, LIMIT)
            count = 0 if inliers is None else int(inliers.sum())
            self.get_logger().info(f'{len(first)} matches, {count} fit one homography')
            return
        pose = relative_pose(first, second, self._camera)
        if pose is None:
            self.get_logger().warning(f'{len(first)} matches, but no motion explains them')
            return
        result = PoseStamped(header=message.header)
        position, turn = result.pose.position, Quaternion()
        position.x, position.y, position.z = pose[1].tolist()
        turn.x, turn.y, turn.z, turn.w = quaternion(pose[0])
        result.pose.orientation = turn
        self._publisher.publish(result)


def matched_points(first, second):
    """Return matched points of two messages of descriptors, (N, 2) float64 each [px]."""
    i, j = mutual_neighbours(descriptor_rows(first), descriptor_rows(second))
    points = [points_of(message.keypoints) for message in (first, second)]
    xy = [np.stack([p.x, p.y], axis=1).astype(float) for p in points]
    return xy[0][i], xy[1][j]


def relative_pose(first, second, camera):
    """Return rotation (3, 3) and position (3,) of the second view in the first, or None."""
    essential, inliers = cv2.findEssentialMat(
        first, second, camera, cv2.USAC_MAGSAC, 0.9999, LIMIT
    )
    if essential is None or essential.shape != (3, 3):
        return None
    count, rotation, translation, _ = cv2.recoverPose(
        essential, first, second, camera, mask=inliers
    )
    if count < FEWEST:
        return None
    return rotation.T, -(rotation.T @ translation)[:, 0]


def quaternion(rotation):
    """Return x, y, z, w of a rotation (3, 3)."""
    vector = cv2.Rodrigues(rotation)[0][:, 0]
    angle = float(np.linalg.norm(vector))
    axis = vector * (np.sin(angle / 2) / angle) if angle else vector
    return [*axis.tolist(), float(np.cos(angle / 2))]


def main():
    """Run the node until it is interrupted."""
    rclpy.init()
    with contextlib.suppress(ExternalShutdownException, KeyboardInterrupt):
        rclpy.spin(Matcher())
    return 0


if __name__ == '__main__':
    sys.exit(main())
