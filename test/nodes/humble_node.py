"""
A node of this package without what rclpy of Humble lacks.

usage: humble_node.py MODULE ROS-ARGUMENTS, with MODULE such as superpoint_rknn.nodes.front_end.
"""

import sys
from importlib import import_module

import rclpy.event_handler
import rclpy.lifecycle
from rclpy.node import Node

for name in ('add_post_set_parameters_callback', 'add_pre_set_parameters_callback'):
    delattr(Node, name)
sys.modules['rclpy.qos_event'] = rclpy.event_handler  # its name in Humble
sys.modules['rclpy.event_handler'] = None
sys.modules['rclpy.experimental'] = None  # EventsExecutor

message_numbers = import_module('superpoint_rknn.nodes.common.message_numbers')
message_numbers.HAS_MESSAGE_INFO = False  # subscriptions pass messages without their info
sys.exit(import_module(sys.argv[1]).main(sys.argv[2:]))
