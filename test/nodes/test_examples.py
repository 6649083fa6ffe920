"""The examples in a real graph."""

import sys
from pathlib import Path

import numpy as np
from geometry_msgs.msg import PoseStamped
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from ros_graph import RELIABLE, image_message
from sensor_msgs.msg import CameraInfo, Image

EXAMPLES = Path(__file__).resolve().parents[2] / 'examples'


def test_the_matcher_publishes_how_the_camera_has_moved(graph, photo, right_photo):
    graph.start(**{'descriptors.rate': 1000.0})
    graph.start_program(sys.executable, EXAMPLES / 'matcher.py')
    camera = graph.node.create_publisher(Image, 'image', RELIABLE)
    info = graph.node.create_publisher(CameraInfo, 'camera_info', RELIABLE)
    poses = graph.collect(PoseStamped, 'relative_pose')
    focal = 994.978  # [px] of the motorcycle pair
    calibration = CameraInfo(k=[focal, 0.0, 261.0, 0.0, focal, 205.0, 0.0, 0.0, 1.0])
    sent = 0

    def send():
        nonlocal sent
        info.publish(calibration)
        message = image_message(right_photo if sent % 2 else photo)
        sent += 1
        message.header.stamp.sec = sent
        camera.publish(message)
        graph.spin(lambda: False, 0.4)
        return poses

    graph.wait(send, 'a relative pose', 60)
    place = poses[-1].pose.position
    moved = np.array([place.x, place.y, place.z])
    assert abs(np.linalg.norm(moved) - 1) < 1e-6
    # Both cameras look in one direction and lie side by side.
    assert abs(moved[0]) > 0.9
    assert poses[-1].pose.orientation.w > 0.99


def test_the_calls_of_nav2s_lifecycle_manager(graph):
    """Its order: configure each node, activate each, deactivate and clean up from the last."""
    names = ('superpoint', 'tracker')
    for name in names:
        graph.start('-m', f'superpoint_rknn.nodes.{name}.node', autostart='false')

    def change(name, transition):
        request = ChangeState.Request(transition=Transition(id=transition))
        assert graph.call(ChangeState, f'{name}/change_state', request, 60).success

    def state(name):
        return graph.call(GetState, f'{name}/get_state', GetState.Request()).current_state.id

    for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
        for name in names:
            change(name, transition)
    assert {state(name) for name in names} == {State.PRIMARY_STATE_ACTIVE}
    for transition in (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP):
        for name in reversed(names):
            change(name, transition)
    assert {state(name) for name in names} == {State.PRIMARY_STATE_UNCONFIGURED}
