"""Publish images at a steady rate, like a camera's driver; print how many at the end."""

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

SUBSCRIBERS = 2  # the node and the recorder
# Reliable, so that the recorder loses nothing; the node asks for best effort, which this serves.
QOS = QoSProfile(depth=100, reliability=ReliabilityPolicy.RELIABLE)


def image_message(image: np.ndarray) -> Image:
    """mono8 message of a grey image, (height, width) uint8, without a stamp."""
    height, width = image.shape
    data = array('B')
    data.frombytes(memoryview(np.ascontiguousarray(image)).cast('B'))
    message = Image(height=height, width=width, encoding='mono8', step=width, data=data)
    message.header.frame_id = 'camera'
    return message


def wait_for_subscribers(publisher: Publisher, timeout: float) -> None:
    """Return once node and recorder listen; raises TimeoutError after `timeout` [s]."""
    end = time.monotonic() + timeout
    while (count := publisher.get_subscription_count()) < SUBSCRIBERS:
        if time.monotonic() > end:
            raise TimeoutError(
                f'{publisher.topic_name}: {count} of {SUBSCRIBERS} subscribers after {timeout:g} s'
            )
        time.sleep(0.02)


def play(node: Node, publisher: Publisher, source: str, count: int, rate: float) -> int:
    """Publish `count` images, each at its time since the start however late the one before was."""
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
    """Play until done or interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('source', help='folder, video, bag or "sweep"')
    parser.add_argument('--count', type=int, required=True, help='images to publish')
    parser.add_argument('--rate', type=float, required=True, help='images per second')
    parser.add_argument('--wait', type=float, required=True, help='longest wait for subscribers')
    arguments = parser.parse_args()
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node('player')
    try:
        publisher = node.create_publisher(Image, 'image', QOS)
        wait_for_subscribers(publisher, arguments.wait)
        print(play(node, publisher, arguments.source, arguments.count, arguments.rate), flush=True)
        # A reliable publisher must live until the last image has arrived.
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
