"""Measure messages and the overhead of the superpoint node, in a process of their own."""

from __future__ import annotations

import argparse
import itertools
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
from superpoint_rknn.bench.timing import (
    Step,
    pinned_to_one_core,
    statistics,
    time_step,
)
from superpoint_rknn.features.descriptors import DescriptorSampler
from superpoint_rknn.features.keypoints import DetectorSettings
from superpoint_rknn.features.keypoints import Keypoints as Points
from superpoint_rknn.memory import keep_freed_memory
from superpoint_rknn.msg import Descriptors, Keypoints
from superpoint_rknn.nodes.common.messages import (
    descriptors_message,
    float_array,
    keypoints_message,
)
from superpoint_rknn.nodes.common.qos import FEATURES

TIMEOUT = 20.0  # [s] for a subscriber to appear and for an image to be processed


def image_message(image: np.ndarray, stamp: int = 0) -> Image:
    """mono8 message of a grey image (H, W) uint8; stamp: [ns]."""
    height, width = image.shape
    data = array('B')
    data.frombytes(np.ascontiguousarray(image).data.cast('B'))
    message = Image(height=height, width=width, encoding='mono8', step=width, data=data)
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 10**9)
    return message


def keypoints_from_lists(header: Header, size: tuple[int, int], points: Points) -> Keypoints:
    """Keypoints message whose fields are assigned from lists."""
    height, width = size
    message = Keypoints(header=header, height=height, width=width)
    message.x, message.y = points.x.tolist(), points.y.tolist()
    message.score = points.score.tolist()
    return message


def point_cloud(header: Header, points: Points) -> PointCloud:
    """The same points as a PointCloud, the message of VINS's front ends."""
    coordinates = zip(points.x.tolist(), points.y.tolist(), strict=True)
    return PointCloud(
        header=header,
        points=[Point32(x=x, y=y) for x, y in coordinates],
        channels=[ChannelFloat32(name='score', values=points.score.tolist())],
    )


def message_steps(node: Node, recording: Recording) -> Iterator[Step]:
    """Steps that fill messages of 500 points and publish them to another process."""
    size, header = recording.size, Header(frame_id='camera')
    points = strongest_points(recording)
    _, channels, rows, cols = recording.raw.shape
    sampler = DescriptorSampler(channels, rows, cols, recording.quantization)
    data = [
        sampler.sample_descriptors(r, p.x, p.y) for r, p in zip(recording.raw, points, strict=True)
    ]
    count = len(points)
    keypoints = [keypoints_message(header, size, p) for p in points]

    def from_array(i: int) -> Descriptors:
        return descriptors_message(keypoints[i % count], data[i % count], recording.model)

    def from_list(i: int) -> Descriptors:
        message = empty_descriptors(keypoints[i % count], recording.model)
        message.data = data[i % count].reshape(-1).tolist()
        return message

    yield Step(
        'message_keypoints',
        lambda i: keypoints_message(header, size, points[i % count]),
        lambda i: keypoints_from_lists(header, size, points[i % count]),
        'fields assigned from lists',
    )
    yield Step('message_descriptors', from_array, from_list, 'field assigned from a list')
    publishers = {
        name: _with_subscriber(node.create_publisher(kind, name, FEATURES))
        for name, kind in TOPICS.items()
    }
    clouds = [point_cloud(header, p) for p in points]
    descriptors = [from_array(i) for i in range(count)]
    maps = [empty_descriptors(k, recording.model) for k in keypoints]
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


def empty_descriptors(keypoints: Keypoints, model: str) -> Descriptors:
    """Descriptors message without data."""
    return Descriptors(header=keypoints.header, keypoints=keypoints, dim=256, model=model)


def frame_overhead(recording: Recording, rounds: int) -> dict:
    """
    Row of the time from an image's callback to its published keypoints, without inference.

    Raises RuntimeError if the node cannot be configured or publishes no keypoints.
    """
    node = MeasuredNode(recording)
    if node.trigger_configure() != TransitionCallbackReturn.SUCCESS:
        raise RuntimeError('the node could not be configured: see its log')
    node.trigger_activate()
    try:
        publisher = _with_subscriber(node.create_publisher(Keypoints, 'bench_keypoints', FEATURES))
        messages = [image_message(image, 1 + i) for i, image in enumerate(recording.images)]
        settings = DetectorSettings()
        counter = itertools.count()

        def straightforward(i: int) -> None:
            message = messages[i % len(messages)]
            grey = baselines.to_grey(message.data, message.height, message.width, 'mono8')
            baselines.network_input(grey, 0.0, 1.0, INPUT)
            points = baselines.detect(recording.logits[next(counter) % len(messages)], settings)
            publisher.publish(keypoints_from_lists(message.header, grey.shape, points))

        ours, baseline = [], []
        for i in range(rounds + 10):
            ours.append(node.measure_overhead(messages[i % len(messages)], TIMEOUT))
            start = time.perf_counter()
            straightforward(i)
            baseline.append(time.perf_counter() - start)
    finally:
        node.trigger_shutdown()
        node.destroy_node()
    name = 'copy, normalise, quantize, straightforward decode, lists; no hand-over to a thread'
    return statistics('frame_overhead', name, np.array(ours[10:]), np.array(baseline[10:]))


def _with_subscriber(publisher: Publisher) -> Publisher:
    """Wait until a publisher has a subscriber. Raises RuntimeError if none appears."""
    end = time.monotonic() + TIMEOUT
    while not publisher.get_subscription_count():
        if time.monotonic() > end:
            raise RuntimeError(f'{publisher.topic_name}: no subscriber within {TIMEOUT:g} s')
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
    with pinned_to_one_core():
        rows = [time_step(step, arguments.rounds) for step in message_steps(node, recording)]
        rows.append(frame_overhead(recording, arguments.rounds))
    print(json.dumps(rows), flush=True)
    node.destroy_node()
    rclpy.shutdown()
    return 0


if __name__ == '__main__':
    sys.exit(main())
