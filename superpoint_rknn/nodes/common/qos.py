"""QoS profiles of all topics; `qos_overrides` parameters override them."""

from __future__ import annotations

import re

from rclpy.node import Node
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    LivelinessPolicy,
    QoSPolicyKind,
    QoSProfile,
    ReliabilityPolicy,
)

from superpoint_rknn.settings import short_repr

FEATURES = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)
OVERLAYS = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)  # as RViz requests
CAMERA_INFOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
LATCHED_CAMERA_INFOS = QoSProfile(
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
DIAGNOSTICS = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)
OVERRIDE = re.compile(r'qos_overrides\.(?P<topic>.+)\.(?P<end>[^.]+)\.(?P<policy>[^.]+)')
ENDS = re.compile('(publisher|subscription)(_.*)?')  # _ID: of one of several
WORDS = {
    'durability': DurabilityPolicy,
    'history': HistoryPolicy,
    'liveliness': LivelinessPolicy,
    'reliability': ReliabilityPolicy,
}
MAX_DEPTH = 2**31 - 1


def images(depth: int, reliable: bool) -> QoSProfile:
    """Return the QoS profile of an image subscription; depth: queue depth."""
    reliability = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
    return QoSProfile(depth=depth, reliability=reliability)


def is_overridden(node: Node, topic: str, end: str, policy: str) -> bool:
    """
    Return True if a `qos_overrides` parameter was given for a policy of a topic.

    topic: full name. end: publisher or subscription.
    """
    # The only place where rclpy keeps values of parameters that are not declared yet.
    return f'qos_overrides.{topic}.{end}.{policy}' in node._parameter_overrides


def check_overrides(node: Node) -> None:
    """
    Check the `qos_overrides` parameters that a node was given, also those of other nodes.

    Raises ValueError with the parameter and the allowed values. rclpy would ignore wrong names. It
    would refuse wrong values late, when a topic is subscribed to, without naming the parameter.
    """
    for name, parameter in sorted(node._parameter_overrides.items()):
        if name.startswith('qos_overrides.'):
            _check_override(name, parameter.value)


def _check_override(name: str, value: object) -> None:
    parts = OVERRIDE.fullmatch(name)
    if parts is None or not ENDS.fullmatch(parts['end']):
        raise ValueError(
            f'{short_repr(name)}: expected qos_overrides.TOPIC.publisher.POLICY or '
            'qos_overrides.TOPIC.subscription.POLICY'
        )
    policies = sorted(kind.name.lower() for kind in QoSPolicyKind if kind.name != 'INVALID')
    if parts['policy'] not in policies:
        raise ValueError(f'{short_repr(name)}: expected a policy of {", ".join(policies)}')
    words = WORDS.get(parts['policy'])
    if words is not None:
        expected = [word.lower() for word in words.__members__ if word != 'UNKNOWN']
        if not isinstance(value, str) or value.lower() not in expected:
            raise ValueError(f'{name}: {short_repr(value)}, expected {" or ".join(expected)}')
    elif parts['policy'] == 'depth' and not (type(value) is int and 1 <= value <= MAX_DEPTH):
        raise ValueError(f'{name}: {short_repr(value)}, expected a whole number, 1 to {MAX_DEPTH}')
