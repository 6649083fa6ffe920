"""
Show what cameras and nodes do, live in a browser, by rerun.

  superpoint_rknn view
  superpoint_rknn view --record drive.rrd --ros-args -r /cam0/image:=/cam0/image_raw

It finds all cameras whose keypoints are published and all odometry, prints the address of a page
and serves it until Ctrl-C: images with keypoints and tracks, matches, the path, rates, latencies,
missing images and stage timings. The data are for this machine alone; from another one use
`ssh -L 9090:localhost:9090 -L 9091:localhost:9091 HOST`. Without rerun-sdk it prints how to
install it.
"""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path

import rclpy
from rclpy.executors import ExternalShutdownException

from superpoint_rknn.files import check_output
from superpoint_rknn.nodes.common.executor import create_executor
from superpoint_rknn.view.node import ViewNode
from superpoint_rknn.view.viewer import Viewer, find_interpreter

WAKE_UP = 0.5  # [s] maximum time until an end of the viewer is noticed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `superpoint_rknn view`."""
    add = parser.add_argument
    add('--record', type=Path, metavar='FILE.rrd', help='also write everything to a file')
    add(
        '--port',
        type=int,
        default=9090,
        help='of the page; the next port is used, too (default: %(default)s)',
    )
    add('--ros-args', nargs=argparse.REMAINDER, default=[], help='ROS arguments; must be last')


def run(args: argparse.Namespace) -> int:
    """Run `superpoint_rknn view` until it is interrupted; return the exit code."""
    check_output(args.record, '.rrd')
    interpreter = find_interpreter()
    rclpy.init(args=['--ros-args', *args.ros_args])
    try:
        with Viewer(interpreter, args.port, args.record) as viewer:
            node = ViewNode(viewer.send, lambda: viewer.dropped)
            executor = create_executor()
            executor.add_node(node)
            print(f'open {viewer.address}', flush=True)
            with contextlib.suppress(ExternalShutdownException, KeyboardInterrupt):
                while rclpy.ok():
                    executor.spin_once(timeout_sec=WAKE_UP)
                    viewer.check()
            executor.shutdown()
            node.destroy_node()
    finally:
        rclpy.try_shutdown()
    return 0
