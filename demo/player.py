"""Publish images at a constant rate; prints their number at the end."""

from __future__ import annotations

import argparse
import sys
import time
from array import array
from itertools import islice

import images
import numpy as np
import rclpy
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image

# RELIABLE, so that the recorder receives every image.
QOS = QoSProfile(depth=100, reliability=ReliabilityPolicy.RELIABLE)


def image_message(image: np.ndarray) -> Image:
    """mono8 message of a grey image, (height, width) uint8, without a stamp."""
    height, width = image.shape
    data = array('B')
    data.frombytes(memoryview(np.ascontiguousarray(image)).cast('B'))
    message = Image(height=height, width=width, encoding='mono8', step=width, data=data)
    message.header.frame_id = 'camera'
    return message


def wait_for_subscribers(publisher: Publisher, expected: int, timeout: float) -> None:
    """Wait until so many nodes are subscribed; TimeoutError after `timeout` [s]."""
    end = time.monotonic() + timeout
    while (count := publisher.get_subscription_count()) < expected:
        if time.monotonic() > end:
            raise TimeoutError(
                f'{publisher.topic_name}: {count} of {expected} subscribers after {timeout:g} s'
            )
        time.sleep(0.02)


def play(node: Node, publisher: Publisher, source: str, count: int | None, rate: float) -> int:
    """Publish `count` images, None: without end, at fixed times, so that delays do not add up."""
    published = 0
    start = time.monotonic()
    for index, image in enumerate(islice(images.endless(source), count)):
        message = image_message(image)
        time.sleep(max(0.0, start + index / rate - time.monotonic()))
        message.header.stamp = node.get_clock().now().to_msg()
        publisher.publish(message)
        published += 1
    return published


def main() -> int:
    """Publish until all images are sent or the process is interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('source', help='folder, video, bag or "sweep"')
    parser.add_argument('--count', type=int, help='images to publish (default: no end)')
    parser.add_argument('--rate', type=float, required=True, help='images per second')
    parser.add_argument('--subscribers', type=int, required=True, help='to wait for')
    parser.add_argument('--wait', type=float, required=True, help='longest wait for subscribers')
    arguments = parser.parse_args()
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node('player')
    try:
        publisher = node.create_publisher(Image, 'image', QOS)
        wait_for_subscribers(publisher, arguments.subscribers, arguments.wait)
        print(play(node, publisher, arguments.source, arguments.count, arguments.rate), flush=True)
        # A RELIABLE publisher must exist until the last image has been received.
        publisher.wait_for_all_acked(rclpy.duration.Duration(seconds=arguments.wait))
    except (OSError, ValueError) as error:  # TimeoutError is an OSError
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        pass
    finally:
        node.destroy_node()
        rclpy.shutdown()
    return 0


if __name__ == '__main__':
    sys.exit(main())
