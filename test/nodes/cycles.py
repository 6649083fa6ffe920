"""
Configure a superpoint node, send it images, clean it up, again and again.

usage: cycles.py ROUNDS MODEL [LIBRARY GENERATION]: the CPU runtime, or a stand-in for Rockchip's
library. Prints the resident memory [MB] after 20 rounds and at the end.
"""

import sys
import time
from pathlib import Path

import numpy as np
import rclpy
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rknn_standin import Standin
from ros_graph import RELIABLE, image_message
from sensor_msgs.msg import Image

from superpoint_rknn.msg import Keypoints
from superpoint_rknn.nodes.common.executor import create_executor
from superpoint_rknn.nodes.superpoint.node import SuperPointNode

IMAGES = 3  # in each round


def resident():
    return int(Path('/proc/self/statm').read_text().split()[1]) * 4096 / 1e6


rounds, model, *library = sys.argv[1:]
standin = Standin(int(library[1]), Path(library[0])) if library else None
rclpy.init()
node = SuperPointNode(parameter_overrides=[Parameter('model', value=model)])
received = []
camera = node.create_publisher(Image, 'image', RELIABLE)
node.create_subscription(Keypoints, 'keypoints', received.append, RELIABLE)
executor = create_executor()
executor.add_node(node)
message = image_message(np.random.default_rng(0).integers(0, 256, (400, 640), np.uint8))
for number in range(1, int(rounds) + 1):
    if standin is not None:
        standin.reset()  # it keeps the memory of closed contexts, to find accesses to it
        standin.set_superpoint(400, 640, 256)
    for transition in (node.trigger_configure, node.trigger_activate):
        assert transition() == TransitionCallbackReturn.SUCCESS
    received.clear()
    while not (camera.get_subscription_count() and node.count_publishers('keypoints')):
        executor.spin_once(timeout_sec=0.02)
    while len(received) < IMAGES:
        before = len(received)
        camera.publish(message)
        end = time.monotonic() + 5
        while len(received) == before and time.monotonic() < end:
            executor.spin_once(timeout_sec=0.02)
    for transition in (node.trigger_deactivate, node.trigger_cleanup):
        assert transition() == TransitionCallbackReturn.SUCCESS
    if number in (20, int(rounds)):
        print(f'{resident():.1f}', flush=True)
node.shut_down()
executor.shutdown()
node.destroy_node()
rclpy.shutdown()
