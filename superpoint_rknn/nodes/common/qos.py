"""The QoS profiles of all topics; users may override them by `qos_overrides` parameters."""

from __future__ import annotations

from rclpy.qos import QoSProfile, ReliabilityPolicy

FEATURES = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)
OVERLAYS = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)  # as RViz asks for
CAMERA_INFOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
DIAGNOSTICS = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)


def images(depth: int) -> QoSProfile:
    """Return the profile of an image subscription; `depth` images may wait for the executor."""
    return QoSProfile(depth=depth, reliability=ReliabilityPolicy.BEST_EFFORT)
