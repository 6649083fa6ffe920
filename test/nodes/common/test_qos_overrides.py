"""Wrong `qos_overrides` parameters are refused with their name and what is allowed."""

import pytest
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter

from superpoint_rknn.nodes.tracker.node import TrackerNode

RELIABILITY = 'expected system_default or reliable or best_effort'
REFUSED = [  # name after `qos_overrides.`, value, message after the name
    ('/image.subscription.reliability', 'sometimes', f": 'sometimes', {RELIABILITY}"),
    ('/image.subscription.reliability', 'unknown', f": 'unknown', {RELIABILITY}"),
    ('/image.subscription.reliability', 1, f': 1, {RELIABILITY}'),
    ('/tracks.publisher.history', 7, ': 7, expected system_default or keep_last or keep_all'),
    ('/tracks.publisher.depth', -3, ': -3, expected a whole number, 1 to 2147483647'),
    ('/tracks.publisher.depth', True, ': True, expected a whole number'),
    ('/tracks.publisher.depth', 2**40, ': 1099511627776, expected a whole number'),
    ('/tracks.publisher.durability', 'eternal', ": 'eternal', expected system_default or trans"),
    ('/tracks.publisher.reliabillity', 'reliable', "': expected a policy of avoid_ros_"),
    ('/tracks.publishers.depth', 5, "': expected qos_overrides.TOPIC.publisher.POLICY or"),
    ('depth', 5, "': expected qos_overrides.TOPIC.publisher.POLICY or"),
    ('/\x1b[31m.publisher.x', 5, "': expected a policy of"),
]


def configure(graph, name, value):
    """Result of `configure` of a tracker with a parameter, and the reason if it failed."""
    override = Parameter(f'qos_overrides.{name}', value=value)
    node = TrackerNode(context=graph.context, parameter_overrides=[override])
    try:
        return node.trigger_configure(), str(node.refusal)
    finally:
        node.shut_down()
        node.destroy_node()


@pytest.mark.parametrize(('name', 'value', 'message'), REFUSED)
def test_wrong_overrides_are_refused(graph, name, value, message):
    result, reason = configure(graph, name, value)
    assert result == TransitionCallbackReturn.FAILURE
    assert reason.removeprefix("'").startswith(
        f'qos_overrides.{name}'.encode('unicode_escape').decode() + message
    )
    assert reason.isprintable()


@pytest.mark.parametrize(
    ('name', 'value'),
    [
        ('/image.subscription.reliability', 'reliable'),
        ('/image.subscription.reliability', 'Best_Effort'),
        ('/tracks.publisher.depth', 100),
        ('/other.publisher_second.durability', 'transient_local'),
        ('/other.publisher.deadline', 1_000_000),
    ],
)
def test_right_overrides_are_accepted(graph, name, value):
    assert configure(graph, name, value)[0] == TransitionCallbackReturn.SUCCESS
