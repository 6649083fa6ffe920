"""The topics and diagnostics that the files for RViz and Foxglove show are those of the nodes."""

import json

from diagnostic_msgs.msg import DiagnosticArray
from ros_graph import RELIABLE, image_message
from sensor_msgs.msg import Image
from viewer_files import foxglove, rviz_displays

from superpoint_rknn.layouts.camera_topics import camera_topics


def test_the_files_show_the_topics_and_values_of_a_running_graph(graph, tmp_path, photo):
    names = ['left', 'right']
    given = tmp_path / 'cameras.yaml'
    given.write_text(json.dumps({'/**': {'ros__parameters': {'cameras': names}}}))
    front_end = ('-m', 'superpoint_rknn.nodes.front_end', '--ros-args', '-r', '__ns:=/robot')
    graph.start(*front_end, '--params-file', str(given))
    cameras = camera_topics(['/robot'], names, 'image')
    displays = rviz_displays(cameras)
    images, _, plotted = foxglove(cameras)
    publishers = [graph.node.create_publisher(Image, c.image, RELIABLE) for c in cameras]
    diagnostics = graph.collect(DiagnosticArray, '/diagnostics')
    sent = 0

    def is_plotted():
        nonlocal sent
        sent += 1
        for publisher in publishers:
            message = image_message(photo)
            message.header.stamp.sec = sent
            publisher.publish(message)
        graph.spin(lambda: False, 0.2)
        statuses = [status for message in diagnostics for status in message.status]
        return plotted <= {(s.name, value.key) for s in statuses for value in s.values}

    graph.wait(is_plotted, 'the plotted values')
    types = dict(graph.node.get_topic_names_and_types())
    for topic, reliability in displays.values():
        assert topic in images
        assert types[topic] == ['sensor_msgs/msg/Image'], topic
        for publisher in graph.node.get_publishers_info_by_topic(topic):
            assert 'RELIABLE' in (reliability.upper(), publisher.qos_profile.reliability.name)
            assert (
                reliability == 'Best Effort'
                or publisher.qos_profile.reliability.name == 'RELIABLE'
            )
