"""Messages and the way of an image through the node, measured in a process of their own."""

from __future__ import annotations

import argparse
import json
import sys
import time
from array import array
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import rclpy
from geometry_msgs.msg import Point32
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.node import Node
from rclpy.publisher import Publisher
from sensor_msgs.msg import ChannelFloat32, Image, PointCloud
from std_msgs.msg import Header

from superpoint_rknn.bench import baselines
from superpoint_rknn.bench.measured_node import MeasuredNode
from superpoint_rknn.bench.recordings import Recording, read_recording
from superpoint_rknn.bench.steps import INPUT, strongest_points
from superpoint_rknn.bench.timing import Step, in_turn, keep_freed_memory, one_core, row
from superpoint_rknn.features.descriptors import DescriptorSampler
from superpoint_rknn.features.keypoints import DetectorSettings
from superpoint_rknn.features.keypoints import Keypoints as Points
from superpoint_rknn.msg import Descriptors, Keypoints
from superpoint_rknn.nodes.common.messages import (
    descriptors_message,
    float_array,
    keypoints_message,
)
from superpoint_rknn.nodes.common.qos import FEATURES

PATIENCE = 20.0  # [s] for a subscriber, or an image, to come


def image_message(image: np.ndarray, stamp: int = 0) -> Image:
    """mono8 message of a grey image (H, W) uint8; stamp: [ns]."""
    height, width = image.shape
    data = array('B')
    data.frombytes(memoryview(np.ascontiguousarray(image)).cast('B'))
    message = Image(height=height, width=width, encoding='mono8', step=width, data=data)
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 10**9)
    return message


def listed(header: Header, size: tuple[int, int], points: Points) -> Keypoints:
    """Keypoints message filled from lists, as is usual in Python."""
    height, width = size
    message = Keypoints(header=header, height=height, width=width)
    message.x, message.y = points.x.tolist(), points.y.tolist()
    message.score = points.score.tolist()
    return message


def point_cloud(header: Header, points: Points) -> PointCloud:
    """The same points as VINS's front ends publish theirs."""
    places = zip(points.x.tolist(), points.y.tolist(), strict=True)
    return PointCloud(
        header=header,
        points=[Point32(x=x, y=y) for x, y in places],
        channels=[ChannelFloat32(name='score', values=points.score.tolist())],
    )


def message_steps(node: Node, recording: Recording) -> Iterator[Step]:
    """Filling and publishing messages of 500 points to a subscriber in another process."""
    size, header = recording.size, Header(frame_id='camera')
    points = strongest_points(recording)
    sampler = DescriptorSampler(*recording.raw.shape[1:], recording.quantization)
    data = [
        sampler.sample_descriptors(r, p.x, p.y) for r, p in zip(recording.raw, points, strict=True)
    ]
    count = len(points)
    keypoints = [keypoints_message(header, size, p) for p in points]

    def described(i: int) -> Descriptors:
        return descriptors_message(keypoints[i % count], data[i % count], recording.model)

    def described_by_lists(i: int) -> Descriptors:
        message = described_without_data(keypoints[i % count], recording.model)
        message.data = data[i % count].reshape(-1).tolist()
        return message

    yield Step(
        'message_keypoints',
        lambda i: keypoints_message(header, size, points[i % count]),
        lambda i: listed(header, size, points[i % count]),
        'fields assigned from lists',
    )
    yield Step('message_descriptors', described, described_by_lists, 'field assigned from a list')
    publishers = {
        name: _heard(node.create_publisher(kind, name, FEATURES)) for name, kind in TOPICS.items()
    }
    clouds = [point_cloud(header, p) for p in points]
    descriptors = [described(i) for i in range(count)]
    maps = [described_without_data(k, recording.model) for k in keypoints]
    for message, raw in zip(maps, recording.raw, strict=True):
        message.data = float_array(baselines.convert_to(raw, recording.quantization).reshape(-1))
    yield Step(
        'publish_keypoints',
        lambda i: publishers['bench_keypoints'].publish(keypoints[i % count]),
        lambda i: publishers['bench_cloud'].publish(clouds[i % count]),
        'sensor_msgs/PointCloud of the same points',
    )
    yield Step(
        'publish_descriptors',
        lambda i: publishers['bench_descriptors'].publish(descriptors[i % count]),
        lambda i: publishers['bench_map'].publish(maps[i % count]),
        'the whole map as float32',
    )


TOPICS = {
    'bench_keypoints': Keypoints,
    'bench_cloud': PointCloud,
    'bench_descriptors': Descriptors,
    'bench_map': Descriptors,
}


def described_without_data(keypoints: Keypoints, model: str) -> Descriptors:
    """Descriptors message without the descriptors."""
    return Descriptors(header=keypoints.header, keypoints=keypoints, dim=256, model=model)


def frame_overhead(recording: Recording, rounds: int) -> dict:
    """
    Row of an image's way from the callback to its published keypoints, without the network.

    Raises RuntimeError if the node can't be started or gives no answer.
    """
    node = MeasuredNode(recording)
    if node.trigger_configure() != TransitionCallbackReturn.SUCCESS:
        raise RuntimeError('the node was not configured')
    node.trigger_activate()
    try:
        publisher = _heard(node.create_publisher(Keypoints, 'bench_keypoints', FEATURES))
        messages = [image_message(image, 1 + i) for i, image in enumerate(recording.images)]
        settings = DetectorSettings()
        turns = iter(range(10**9))

        def straightforward(i: int) -> None:
            message = messages[i % len(messages)]
            grey = baselines.to_grey(message.data, message.height, message.width, 'mono8')
            baselines.network_input(grey, 0.0, 1.0, INPUT)
            points = baselines.detect(recording.logits[next(turns) % len(messages)], settings)
            publisher.publish(listed(message.header, grey.shape, points))

        ours, baseline = [], []
        for i in range(rounds + 10):
            ours.append(node.overhead_of(messages[i % len(messages)], PATIENCE))
            start = time.perf_counter()
            straightforward(i)
            baseline.append(time.perf_counter() - start)
    finally:
        node.trigger_shutdown()
        node.destroy_node()
    name = 'copy, normalise, quantise, straightforward decode, lists; no hand-over to a thread'
    return row('frame_overhead', name, np.array(ours[10:]), np.array(baseline[10:]))


def _heard(publisher: Publisher) -> Publisher:
    """The publisher, once somebody listens. Raises RuntimeError if nobody does."""
    end = time.monotonic() + PATIENCE
    while not publisher.get_subscription_count():
        if time.monotonic() > end:
            raise RuntimeError(f'{publisher.topic_name}: nobody listens')
        time.sleep(0.02)
    return publisher


def main() -> int:
    """Print the rows as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('recording', type=Path)
    parser.add_argument('rounds', type=int)
    arguments = parser.parse_args()
    rclpy.init()
    node = rclpy.create_node('bench')
    recording = read_recording(arguments.recording)
    keep_freed_memory()
    with one_core():
        rows = [in_turn(step, arguments.rounds) for step in message_steps(node, recording)]
        rows.append(frame_overhead(recording, arguments.rounds))
    print(json.dumps(rows), flush=True)
    node.destroy_node()
    rclpy.shutdown()
    return 0


if __name__ == '__main__':
    sys.exit(main())
