"""The nodes run without what rclpy of Humble lacks, in a real graph; see humble_node.py."""

from pathlib import Path

from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from ros_graph import Rig

from superpoint_rknn.msg import Keypoints

HUMBLE = {
    'ROS_DISTRO': 'humble',
    'ROS_AUTOMATIC_DISCOVERY_RANGE': '',
    'ROS_LOCALHOST_ONLY': '1',
    'FASTDDS_DEFAULT_PROFILES_FILE': '',
    'FASTRTPS_DEFAULT_PROFILES_FILE': '',
}


def test_nodes_without_what_humble_lacks(graph, photo):
    rig = Rig(graph, descriptors=False)
    program = str(Path(__file__).with_name('humble_node.py'))
    node = rig.start(program, 'superpoint_rknn.nodes.front_end', env=HUMBLE)
    tracks = graph.collect(Keypoints, 'tracks')
    image, keypoints = rig.send_and_wait(photo)
    assert keypoints.header == image.header
    assert len(keypoints.x) > 100
    graph.wait(lambda: tracks, 'tracks')
    request = SetParameters.Request(
        parameters=[Parameter('detector.max_keypoints', value=7).to_parameter_msg()]
    )
    (result,) = graph.call(SetParameters, 'superpoint/set_parameters', request).results
    assert result.successful
    assert len(rig.send_and_wait(photo)[1].x) == 7
    graph.wait(lambda: rig.raw_counts()['received'] != '0', 'counts')
    assert rig.raw_counts()['lost'] == 'unknown'  # messages have no numbers
    code, _ = graph.interrupt(node)
    assert code == 0
    assert 'Traceback' not in node.log.read_text()
