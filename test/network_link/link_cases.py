"""What runs on the robot and on the base station, and what arrives there."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from hosts import Host, Network

from superpoint_rknn.files import find_shared_file
from superpoint_rknn.processes import Process, ProcessGroup, graph_variables

HERE = Path(__file__).parent
SUPERPOINT = HERE.parent / 'soak' / 'soak_node.py'
RATE, DELAY = 20e6, 0.02  # of the link, in each direction [bit/s], [s]
LOSSES = (0.0, 0.01, 0.05)  # shares of packets
IMAGE_RATE = 30.0  # [Hz]
TIMEOUT = 90.0  # [s] for the nodes to find each other
LATE = 1.0  # [s] to wait for the last messages
# `shipped` has Fast DDS's own settings for the network; only its shared memory is larger.
PROFILES = {
    'shipped': 'config/fastdds.xml',
    'network': 'config/fastdds2_network.xml'
    if os.environ.get('ROS_DISTRO') in ('humble', 'jazzy')
    else 'config/fastdds_network.xml',
}
TYPES = {
    'keypoints': 'Keypoints',
    'tracks': 'Keypoints',
    'descriptors': 'Descriptors',
    'descriptors_raw': 'DescriptorsRaw',
}


@dataclass(frozen=True)
class Case:
    """
    Topics that the receiver subscribes to, and where the tracker runs.

    tracker_is_remote: on the base station, with JPEG images, instead of on the robot.
    """

    name: str
    topics: tuple[str, ...]
    tracker_is_remote: bool = False


CASES = {
    case.name: case
    for case in (
        Case('tracks', ('keypoints', 'tracks')),
        Case('descriptors', ('keypoints', 'tracks', 'descriptors')),
        Case('descriptors_raw', ('keypoints', 'tracks', 'descriptors_raw')),
        Case('remote tracker', ('keypoints', 'tracks'), tracker_is_remote=True),
    )
}


class Robot:
    """Camera and nodes of one robot."""

    def __init__(
        self,
        host: Host,
        base: Host,
        namespace: str,
        case: Case,
        recording: Path,
        seconds: float,
        variables: dict[str, str],
    ):
        self.namespace = namespace
        ros = ['--ros-args', '-r', f'__ns:={namespace or "/"}']
        jpeg = ['-p', 'image_transport:=compressed'] if case.tracker_is_remote else []
        host.start('superpoint', sys.executable, SUPERPOINT, recording, *ros, *jpeg, **variables)
        tracker = [sys.executable, '-m', 'superpoint_rknn.nodes.tracker.node', *ros, *jpeg]
        if case.tracker_is_remote:
            base.start('tracker', *tracker, '-r', 'descriptors:=unused', **variables)
        else:
            host.start('tracker', *tracker, **variables)
            # Raw images stay on the robot: they need the shared memory of this profile.
            variables = variables | profile_variables(PROFILES['shipped'])
        camera = [sys.executable, HERE / 'link_camera.py', recording, '--namespace', namespace]
        camera += ['--rate', IMAGE_RATE, '--seconds', seconds]
        if case.tracker_is_remote:
            camera.append('--jpeg')
        self.camera: Process = host.start('camera', *camera, **variables)


def profile_variables(profile: str) -> dict[str, str]:
    """Return the environment variables for a profile of Fast DDS that the package ships."""
    names = [name for name in graph_variables(0) if name.endswith('_PROFILES_FILE')]
    return dict.fromkeys(names, str(find_shared_file(profile)))


def measure(
    recording: Path,
    case: Case,
    profile: str,
    loss: float,
    seconds: float,
    boards: int = 1,
    has_multicast: bool = True,
) -> dict[str, Any]:
    """
    Publish images for some seconds; return what arrived, by topic, and what the links carried.

    recording: its file. profile: of Fast DDS. loss: of the links. boards: number of robots; if
    there are several, each has a ROS namespace. has_multicast: of the network; without it, the
    hosts find each other by ROS_STATIC_PEERS.
    Raises ProcessError.
    """
    with tempfile.TemporaryDirectory() as folder, ProcessGroup(Path(folder)) as group:
        names = [f'robot{number}' for number in range(boards)]
        limits: list[object] = ['--rate', RATE, '--delay', DELAY, '--loss', loss]
        if not has_multicast:
            limits.append('--no-multicast')
        network = Network(group, ['base', *names], limits)
        base, *hosts = network.hosts
        variables = {'ROS_AUTOMATIC_DISCOVERY_RANGE': 'SUBNET', **profile_variables(profile)}
        if not has_multicast:
            variables['ROS_STATIC_PEERS'] = ';'.join(host.address for host in network.hosts)
        robots = [
            Robot(
                host,
                base,
                f'/{host.name}' if boards > 1 else '',
                case,
                recording,
                seconds,
                variables,
            )
            for host in hosts
        ]
        topics = [
            f'{TYPES[topic]}={robot.namespace}/{topic}'
            for robot in robots
            for topic in case.topics
        ]
        receiver = base.start(
            'receiver', sys.executable, HERE / 'link_receiver.py', *topics, **variables
        )
        group.read_line(receiver, TIMEOUT)
        for robot in robots:
            for _ in ('publishing', 'answered', 'ready'):
                group.read_line(robot.camera, TIMEOUT)
        before = network.counts()
        start = time.monotonic_ns()
        for robot in robots:
            robot.camera.write_line('go')
        played = [json.loads(group.finish(robot.camera, seconds + TIMEOUT)) for robot in robots]
        time.sleep(LATE)
        receiver.write_line(start)
        received = json.loads(group.read_line(receiver, TIMEOUT))
        group.finish(receiver)
        after = network.counts()
    sent = {
        f'{robot.namespace}/{topic}': count
        for robot, each in zip(robots, played, strict=True)
        for topic, count in (each['published'] | remote_tracks(case, each['images'])).items()
    }
    return {
        'multicast': has_multicast,
        'images': [each['images'] for each in played],
        'camera_hz': [round(each['rate'], 1) for each in played],
        'topics': {
            topic: topic_figures(results, sent[topic], seconds)
            for topic, results in received.items()
        },
        'packets': {name: after[name] - before[name] for name in after},
        'link': link_figures([after[name] - before[name] for name in names], seconds),
    }


def remote_tracks(case: Case, images: int) -> dict[str, int]:
    """Return the tracks that a remote tracker had to publish: those of all images."""
    return {'tracks': images} if case.tracker_is_remote else {}


def topic_figures(results: dict[str, list], sent: int, seconds: float) -> dict[str, Any]:
    """Return how many messages of a topic arrived, their latency and bytes per second."""
    latencies = 1e3 * np.array(results['latencies'] or [np.nan])
    p50, p95 = np.round(np.percentile(latencies, [50, 95]), 1).tolist()
    count = len(results['latencies'])
    return {
        'published': sent,
        'received': count,
        'share': round(count / sent, 3) if sent else None,
        'p50_ms': p50 if count else None,
        'p95_ms': p95 if count else None,
        'bytes': round(float(np.mean(results['sizes']))) if count else None,
        'kbyte_per_s': round(1e-3 * sum(results['sizes']) / seconds, 1),
    }


def link_figures(counts: list[Counter[str]], seconds: float) -> dict[str, float]:
    """Return what all robots sent together, per second in which images were published [Mbit/s]."""
    total = sum(counts, Counter())
    mean = total['bytes'] / total['packets'] if total['packets'] else 0.0
    dropped = total['queue_full'] + total['device_full']
    return {
        'sent_mbit_s': round(8e-6 * mean * (total['packets'] + total['device_full']) / seconds, 2),
        'dropped_mbit_s': round(8e-6 * mean * dropped / seconds, 2),
    }
