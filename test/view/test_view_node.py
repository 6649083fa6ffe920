"""The node of the view in a graph: it finds cameras, their images, and odometry."""

import time

import numpy as np
import pytest

pytest.importorskip('superpoint_rknn.msg', reason='the messages are not built')

import rclpy
from builtin_interfaces.msg import Time
from nav_msgs.msg import Odometry
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from superpoint_rknn.msg import Keypoints
from superpoint_rknn.nodes.common.executor import create_executor
from superpoint_rknn.processes import graph_variables, reserve_domain
from superpoint_rknn.view.node import ViewNode

TIMEOUT = 60.0  # [s] on a busy machine


class Bench:
    """A view, its records, and a node that plays the camera and the front end."""

    def __init__(self):
        self.sent = []
        self.other = rclpy.create_node('front_end')
        self.view = ViewNode(lambda *records: self.sent.extend(records), lambda: 0)
        self.executor = create_executor()
        for node in (self.other, self.view):
            self.executor.add_node(node)

    def spin_until(self, condition, publish=lambda: None):
        end = time.monotonic() + TIMEOUT
        while not condition() and time.monotonic() < end:
            publish()
            self.executor.spin_once(timeout_sec=0.05)
        assert condition()

    def layout(self):
        return [r for r in self.sent if r['kind'] == 'layout'][-1]

    def entities(self):
        return {r['entity'] for r in self.sent}

    def close(self):
        self.executor.shutdown()
        self.view.destroy_node()
        self.other.destroy_node()


@pytest.fixture
def bench(monkeypatch):
    domain, reservation = reserve_domain()
    for name, value in graph_variables(domain).items():
        monkeypatch.setenv(name, value)
    rclpy.init(domain_id=domain)
    bench = Bench()
    yield bench
    bench.close()
    rclpy.shutdown()
    reservation.close()


def test_at_first_there_is_no_camera(bench):
    assert bench.layout()['cameras'].tolist() == []
    assert '/waiting' in bench.entities()


@pytest.mark.parametrize('topic', ['/cam0/image', '/driver/image_raw'])
def test_a_camera_is_found_with_its_images(bench, topic):
    images = bench.other.create_publisher(Image, topic, qos_profile_sensor_data)
    bench.other.create_subscription(Image, topic, lambda message: None, qos_profile_sensor_data)
    keypoints = bench.other.create_publisher(Keypoints, '/cam0/keypoints', 5)
    header = Header(stamp=Time(sec=7))

    def publish():
        data = bytes(64)
        images.publish(
            Image(header=header, height=8, width=8, step=8, encoding='mono8', data=data)
        )
        keypoints.publish(
            Keypoints(header=header, height=8, width=8, x=[1.0], y=[2.0], score=[0.5])
        )

    def pictures():
        return [r for r in bench.sent if r['entity'] == '/cameras/cam0/keypoints']

    bench.spin_until(lambda: any({'image', 'points'} <= r.keys() for r in pictures()), publish)
    bench.spin_until(lambda: bench.layout()['sizes'].tolist() == [[8, 8]], publish)
    assert bench.layout()['cameras'].tolist() == ['/cameras/cam0']
    assert bench.layout()['pictures'].tolist() == ['keypoints']
    points = next(r for r in pictures() if 'points' in r)
    np.testing.assert_allclose(points['points'], [[1.5, 2.5]])


def test_odometry_is_found(bench):
    publisher = bench.other.create_publisher(Odometry, '/odometry', 5)
    message = Odometry()
    message.pose.pose.position.x = 3.0
    bench.spin_until(
        lambda: '/world/odometry/path' in bench.entities(), lambda: publisher.publish(message)
    )
    assert bench.layout()['has_path']
    path = next(r for r in bench.sent if r['kind'] == 'path')
    assert path['points'][0].tolist() == [3, 0, 0]


def test_invalid_messages_are_reported_and_do_not_end_the_node(bench):
    publisher = bench.other.create_publisher(Keypoints, '/keypoints', 5)
    invalid = Keypoints(height=8, width=8, x=[1.0], y=[], score=[0.5])
    valid = Keypoints(height=8, width=8, x=[1.0], y=[2.0], score=[0.5])
    bench.spin_until(
        lambda: any(
            r['entity'] == '/rates/camera' and 'keypoints' in r['names'] for r in bench.sent
        ),
        lambda: publisher.publish(invalid),
    )
    assert '/cameras/camera/keypoints' not in bench.entities()
    bench.spin_until(
        lambda: '/cameras/camera/keypoints' in bench.entities(),
        lambda: publisher.publish(valid),
    )
