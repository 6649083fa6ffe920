"""QoS profiles of all topics; `qos_overrides` parameters override them."""

from __future__ import annotations

from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

FEATURES = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)
OVERLAYS = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)  # as RViz requests
CAMERA_INFOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
LATCHED_CAMERA_INFOS = QoSProfile(
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
DIAGNOSTICS = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)


def images(depth: int, reliable: bool) -> QoSProfile:
    """Return the QoS profile of an image subscription; depth: queue depth."""
    reliability = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
    return QoSProfile(depth=depth, reliability=reliability)
