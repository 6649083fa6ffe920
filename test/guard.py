"""
Check that the package computes the same, bit for bit, before and after a change of its code.

  python test/guard.py --record before.json
  python test/guard.py --check before.json

Generates recordings, runs `superpoint_rknn extract` and the nodes on them, and records the
SHA-256 of every keypoints, descriptors, tracks and feature message. --check lists the differences
and exits with 1 if there are any. Only commands, parameters, topics and messages are used, so that
modules may move. The hashes depend on the machine and on the versions of the libraries: record and
check with the same.

Run it in the environment of a checkout (./dev run python test/guard.py ...); a folder in
PYTHONPATH selects another version of the package.
"""

import argparse
import hashlib
import importlib.util
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from array import array
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rosbags.highlevel import AnyReader
from rosbags.rosbag1 import Writer as Ros1Writer
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud

from superpoint_rknn.msg import Descriptors, Keypoints

MODULES = {  # of each node, in an earlier layout of the package and now
    'front_end': ('nodes.front_end', 'nodes.front_end'),
    'superpoint_node': ('nodes.superpoint_node', 'nodes.superpoint.node'),
    'tracker_node': ('nodes.tracker_node', 'nodes.tracker.node'),
}
PROFILES = Path(__file__).resolve().parent.parent / 'config' / 'fastdds.xml'
ROS2, ROS1 = get_typestore(Stores.ROS2_HUMBLE), get_typestore(Stores.ROS1_NOETIC)
RELIABLE = QoSProfile(depth=100, reliability=ReliabilityPolicy.RELIABLE)
# Height and width [px] of the network made here, of larger images, and of the shipped models.
QUICK, LARGER, FULL = (120, 160), (200, 300), (400, 640)
IMAGES = 6  # of a case
COVERED = 3  # number of the image that loses most tracks, for re-association
STEP = 50_000_000  # [ns] between two images
START = 1_700_000_000_000_000_000  # stamp of a case's first image [ns]
WARM_UP = START - 3600 * 10**9  # stamp so early that all tracks end before the case begins [ns]
TIMEOUT = 15.0  # [s] for the messages of an image
SETTLE = 0.06  # [s] until the tracker has received the descriptors
ATTEMPTS = 3  # per case, since BEST_EFFORT images may be lost


def photograph(side):
    """One side of the stereo pair in the wheel of scikit-image."""
    package = importlib.util.find_spec('skimage').submodule_search_locations[0]
    return Path(package, 'data', f'motorcycle_{side}.png')


def views(size, side='left'):
    """Colour views of a photograph, each moved by two pixels; most of one is covered."""
    photo = cv2.imread(str(photograph(side)))
    if size != FULL:
        photo = cv2.resize(photo, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    (height, width), places = size, range(IMAGES)
    found = [photo[20 + n :, 30 + 2 * n :][:height, :width].copy() for n in places]
    found[COVERED][:, width // 4 :] = 90
    return found


def mosaic(bgr, pattern):
    """Bayer mosaic of an image, for a pattern such as `rggb`."""
    seen = np.empty(bgr.shape[:2], np.uint8)
    for i, colour in enumerate(pattern):
        place = slice(i // 2, None, 2), slice(i % 2, None, 2)
        seen[place] = bgr[..., 'bgr'.index(colour)][place]
    return seen


def encodings(bgr):
    """An image in every encoding, one array row for each row of `step` bytes."""
    grey, (blue, green, _) = cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY), cv2.split(bgr)
    bgra = np.dstack([bgr, green])
    return {
        **dict.fromkeys(('mono8', '8UC1'), grey),
        **dict.fromkeys(('mono16', '16UC1'), grey * np.uint16(256) + blue),
        **dict.fromkeys(('bgr8', '8UC3'), bgr),
        **dict.fromkeys(('bgra8', '8UC4'), bgra),
        'rgb8': bgr[..., ::-1],
        'rgba8': bgra[..., [2, 1, 0, 3]],
        **{f'bayer_{p}8': mosaic(bgr, p) for p in ('rggb', 'bggr', 'gbrg', 'grbg')},
        **dict.fromkeys(('yuv422', 'uyvy'), np.dstack([blue, grey])),
        **dict.fromkeys(('yuv422_yuy2', 'yuyv'), np.dstack([grey, blue])),
        **dict.fromkeys(('nv12', 'nv21'), np.vstack([grey, blue[::2]])),
        'nv24': np.vstack([grey, blue, green]),
    }


def fields_of(bgr, encoding='mono8', padding=0, is_bigendian=False):
    """Fields of a sensor_msgs/Image, or of a CompressedImage if the encoding is png or jpeg."""
    if encoding in ('png', 'jpeg'):
        return {'format': encoding, 'data': cv2.imencode(f'.{encoding}', bgr)[1].ravel()}
    pixels = np.ascontiguousarray(encodings(bgr)[encoding])
    pixels = pixels.byteswap() if is_bigendian else pixels
    rows = pixels.view(np.uint8).reshape(len(pixels), -1)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=99)
    size = {'height': bgr.shape[0], 'width': bgr.shape[1], 'step': rows.shape[1]}
    coding = {'encoding': encoding, 'is_bigendian': int(is_bigendian)}
    return {**size, **coding, 'data': rows.ravel()}


def write_mask(path, size):
    """Write a mask that excludes a disc and the lowest rows."""
    mask = np.full(size, 255, np.uint8)
    cv2.circle(mask, (size[1] // 3, size[0] // 2), size[0] // 4, 0, -1)
    mask[-size[0] // 8 :] = 0
    cv2.imwrite(str(path), mask)
    return path


def write_bag(path, topics, storage=StoragePlugin.MCAP):
    """Record images, given as fields by topic, in a ROS 1 bag (suffix .bag) or a rosbag2."""
    ros1 = path.suffix == '.bag'
    types = ROS1 if ros1 else ROS2
    serialize = ROS1.serialize_ros1 if ros1 else ROS2.serialize_cdr
    with Ros1Writer(path) if ros1 else Writer(path, version=9, storage_plugin=storage) as writer:
        for topic, images in topics.items():
            kind = f'sensor_msgs/msg/{"CompressedImage" if "format" in images[0] else "Image"}'
            connection = writer.add_connection(topic, kind, typestore=types)
            for number, fields in enumerate(images):
                message = types.types[kind](header_of(types, number), **fields)
                recorded = START + number * STEP + 7_000_000
                writer.write(connection, recorded, serialize(message, kind))
    return path


def header_of(types, number):
    stamp = types.types['builtin_interfaces/msg/Time'](*divmod(START + number * STEP, 10**9))
    sequence = {'seq': number} if types is ROS1 else {}
    return types.types['std_msgs/msg/Header'](stamp=stamp, frame_id='camera', **sequence)


def grey_views(size, side='left'):
    return [fields_of(view) for view in views(size, side)]


def encoded_topics():
    """The same views in every encoding, each on its own topic."""
    pictures = views(QUICK)
    kinds = {name: {'encoding': name} for name in encodings(pictures[0])}
    kinds['mono8_padded'] = {'encoding': 'mono8', 'padding': 32}
    kinds['bgr8_padded'] = {'encoding': 'bgr8', 'padding': 5}
    kinds['nv12_padded'] = {'encoding': 'nv12', 'padding': 16}
    kinds['mono16_big'] = {'encoding': 'mono16', 'is_bigendian': True}
    topics = {f'/{name}/image_raw': kind for name, kind in kinds.items()}
    topics |= {f'/{name}/image_raw/compressed': {'encoding': name} for name in ('png', 'jpeg')}
    return {topic: [fields_of(p, **kind) for p in pictures] for topic, kind in topics.items()}


def extract_cases(folder, network):
    """Write the inputs of `extract`; return its arguments without the output, by case."""
    topics = encoded_topics()
    two = {'/cam0/image_raw': grey_views(QUICK), '/cam1/image_raw': grey_views(QUICK, 'right')}
    encoded = write_bag(folder / 'encoded', topics)
    larger = write_bag(folder / 'larger', {'/image': grey_views(LARGER)}) / 'larger.mcap'
    full = write_bag(folder / 'full', {'/image': grey_views(FULL)[:3]})
    db3 = write_bag(folder / 'two', two, StoragePlugin.SQLITE3) / 'two.db3'
    ros1 = write_bag(folder / 'ros1.bag', two)
    masks = [write_mask(folder / f'{size[1]}.png', size) for size in (QUICK, LARGER)]
    file = folder / 'parameters.yaml'
    file.write_text(
        '/**:\n  ros__parameters: {detector: {threshold: 0.03, nms_radius: 7, max_keypoints: 60, '
        'border: 14}, min_distance: 6.0, max_tracks: 40}\n'
    )
    options = {
        'crop': ['-p', 'resize:=crop'],
        'letterbox': ['-p', 'resize:=letterbox'],
        'stretch': ['-p', 'resize:=stretch', '-p', 'min_distance:=5.0'],
        'mask': ['-p', f'mask:={masks[1]}'],
        'grid': ['-p', 'detector.grid:=[4,5]', '-p', 'detector.max_keypoints:=80'],
        'subpixel': ['-p', 'detector.subpixel:=true'],
        'parameters': ['--params', file],
        'rate': ['--descriptors-rate', '7'],
    }
    quick = ['--model', network]
    both = [text for topic in two for text in ('--topic', topic)]
    return {
        'default': [full],
        'small': [full, '--model', 'superpoint_small'],
        'encodings': [encoded, *quick, *(text for t in topics for text in ('--topic', t))],
        'cameras': [db3, ros1, *quick, *both, '-p', f'cam1.mask:={masks[0]}'],
        **{name: [larger, *quick, *given] for name, given in options.items()},
    }


def command(folder, *arguments):
    """Run `superpoint_rknn`; RuntimeError with its output if it fails."""
    line = [sys.executable, '-m', 'superpoint_rknn.cli', *map(str, arguments)]
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f'{" ".join(line)}:\n{done.stdout}{done.stderr}')


def make_network(folder):
    """Quantize the shipped weights for small images."""
    path, size = folder / 'quick.onnx', 'x'.join(map(str, QUICK))
    images = [photograph(side) for side in ('left', 'right')]
    command(folder, 'quantize', 'superpoint', '-i', *images, '-o', path, '--size', size)
    return path


def extracted(folder, name, arguments):
    """Run `extract`; return the hashes of all messages in its bags."""
    output = folder / 'extracted' / name
    command(folder, 'extract', *arguments, '-o', output)
    hashes, numbers = {}, Counter()
    for bag in sorted(file.parent for file in output.rglob('metadata.yaml')):
        case = 'extract' / bag.relative_to(folder / 'extracted')
        with AnyReader([bag]) as reader:
            for connection, time_ns, data in reader.messages():
                place = f'{case}{connection.topic}'
                content = f'{connection.topic} {time_ns} '.encode() + bytes(data)
                hashes[f'{place}/{numbers[place]}'] = hashlib.sha256(content).hexdigest()
                numbers[place] += 1
    return hashes


@dataclass(frozen=True)
class NodeCase:
    """
    Nodes, their parameters, and the cameras whose images are published.

    lens: distortion model of the camera_info. together: the cameras are synchronized: their images
    have equal stamps and are published together. burst: publish all images before waiting for
    messages. described: every n-th image has descriptors.
    """

    parameters: dict
    programs: tuple = ('front_end',)
    cameras: tuple = ('',)
    size: tuple = QUICK
    encoding: str = 'mono8'
    lens: str = 'plumb_bob'
    together: bool = False
    burst: bool = False
    described: int = 1

    def outputs(self, cameras):
        """Output topics of these cameras, and their types."""
        kinds = {'keypoints': Keypoints, 'descriptors': Descriptors}
        if self.programs != ('superpoint_node',):
            kinds['tracks'] = Keypoints
        topics = {below(camera, name): kinds[name] for camera in cameras for name in kinds}
        return topics | ({'feature': PointCloud} if 'feature.format' in self.parameters else {})

    def expected(self, number, cameras):
        """Topics that have a message for the image with this number."""
        topics = self.outputs(cameras)
        if number == 0 and self.parameters.get('feature.format') == 'vins_mono':
            del topics['feature']
        skipped = 'descriptors' if number % self.described else ' '
        return [topic for topic in topics if not topic.endswith(skipped)]

    def shots(self, number, start, step):
        """Number, cameras and stamp of images that are published together, in order."""
        stamp = start + number * step
        if self.together:
            return [(number, self.cameras, stamp)]
        return [(number, (c,), stamp + 10**7 * i) for i, c in enumerate(self.cameras)]


def below(camera, name):
    return f'{camera}/{name}' if camera else name


def node_cases(folder, network):
    """Write the masks; return the cases by name."""
    masks = [write_mask(folder / f'node_{size[1]}.png', size) for size in (QUICK, LARGER)]
    common = {
        'model': network,
        'descriptors.rate': 1000.0,  # of every image
        'keypoints_wait': 10.0,  # so that keypoints and right images are never late
    }
    fine = {'min_distance': 6.0, 'detector.nms_radius': 3}
    fusion, mono = ({'feature.format': f'vins_{style}'} for style in ('fusion', 'mono'))
    refined = {
        'resize': 'letterbox',
        'mask': masks[1],
        'detector.grid': '[4,5]',
        'detector.subpixel': 'true',
        'detector.max_keypoints': 120,
    }
    two = {'cameras': '[cam0,cam1]', 'cam1.mask': masks[0]}
    pair = {'cameras': '[cam0,cam1]', 'stereo': 'true'}
    separate = ('superpoint_node', 'tracker_node')
    coloured = {'size': LARGER, 'encoding': 'bgr8', 'lens': 'equidistant'}
    jpegs = {'image_transport': 'compressed'}
    names = ('cam0', 'cam1')
    return {
        'fusion': NodeCase(common | fusion),
        'mono': NodeCase(common | mono | refined, **coloured),
        'cameras': NodeCase(common | mono | fine | two, cameras=names),
        'stereo': NodeCase(common | fusion | fine | pair, cameras=names, together=True),
        'compressed': NodeCase(common | fusion | jpegs, separate, size=LARGER, encoding='jpeg'),
    }


def calibration(case, number):
    """Calibration of a camera of a case, different for each number."""
    height, width = case.size
    focal, centre = 0.9 * width + 2 * number, (width / 2 + number, height / 2 - 0.5)
    d = {'plumb_bob': [-0.2, 0.05, 2e-4, -1e-4, 0.0], 'equidistant': [-0.01, 0.02, -0.01, 2e-3]}
    k = [focal, 0.0, centre[0], 0.0, focal, centre[1], 0.0, 0.0, 1.0]
    return CameraInfo(height=height, width=width, distortion_model=case.lens, d=d[case.lens], k=k)


def module_of(program):
    """Module of a node in the installed layout of the package."""
    before, after = (f'superpoint_rknn.{place}' for place in MODULES[program])
    return before if importlib.util.find_spec(before) else after


def free_domain():
    """A ROS domain that nothing on this machine uses, by its first UDP port."""
    for domain in random.sample(range(1, 102), 101):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(('', 7410 + 250 * domain))
            except OSError:
                continue
            return domain
    raise RuntimeError('all ROS domains from 1 to 101 are in use')


def put(digest, value):
    """
    Add a message, or a field of one, to a hash.

    Field by field, since padding bytes of a serialized message are undefined.
    """
    if hasattr(value, 'get_fields_and_field_types'):
        for name in value.get_fields_and_field_types():
            digest.update(f'{name}:'.encode())
            put(digest, getattr(value, name))
    elif isinstance(value, (array, np.ndarray)):
        digest.update(f'{len(value)}:'.encode() + value.tobytes())
    elif isinstance(value, list):
        digest.update(f'{len(value)}:'.encode())
        for item in value:
            put(digest, item)
    else:
        digest.update(f'{value!r};'.encode())


def stamp_of(message):
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


class Lost(RuntimeError):
    """A message did not arrive in time."""


class Graph:
    """The nodes of a case as processes in their own ROS domain, and the received messages."""

    def __init__(self, case, folder):
        self.case = case
        self.folder = folder
        self.processes = []
        self.received = []  # topics and messages
        self.arrived = set()  # their topics and stamps
        self.status = {}  # newest diagnostics of each node
        self.domain = free_domain()
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=self.domain)
        self.node = rclpy.create_node('guard', context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        for topic, kind in case.outputs(case.cameras).items():
            self.subscribe(topic, kind)
        self.node.create_subscription(DiagnosticArray, '/diagnostics', self.on_status, RELIABLE)
        self.publishers = {camera: self.advertise(camera) for camera in case.cameras}

    def __enter__(self):
        for program in self.case.programs:
            self.start(program)
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.send_signal(signal.SIGINT)
        for process in self.processes:
            try:
                process.wait(TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)

    def start(self, program):
        code = f'import sys; from {module_of(program)} import main; sys.exit(main())'
        given = [text for n, v in self.case.parameters.items() for text in ('-p', f'{n}:={v}')]
        with (self.folder / f'{program}.log').open('w') as log:
            process = subprocess.Popen(
                [sys.executable, '-c', code, '--ros-args', *given],
                cwd=self.folder,
                env=os.environ | {'ROS_DOMAIN_ID': str(self.domain)},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.processes.append(process)

    def subscribe(self, topic, kind):
        def collect(message):
            self.received.append((topic, message))
            self.arrived.add((topic, stamp_of(message)))

        self.node.create_subscription(kind, topic, collect, RELIABLE)

    def on_status(self, message):
        self.status |= {s.name: {v.key: v.value for v in s.values} for s in message.status}

    def advertise(self, camera):
        """Publishers of a camera's camera_info and images."""
        info = self.node.create_publisher(CameraInfo, below(camera, 'camera_info'), RELIABLE)
        compressed = self.case.encoding == 'jpeg'
        topic = below(camera, 'image/compressed' if compressed else 'image')
        kind = CompressedImage if compressed else Image
        return info, self.node.create_publisher(kind, topic, RELIABLE)

    def publish(self, camera, picture, stamp):
        """Publish an image of a camera, and its calibration."""
        info, image = self.publishers[camera]
        fields = fields_of(picture, self.case.encoding)
        message = image.msg_type(**fields | {'data': array('B', fields['data'].tobytes())})
        message.header.frame_id = below(camera, 'optical')
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 10**9)
        lens = calibration(self.case, self.case.cameras.index(camera))
        lens.header = message.header
        info.publish(lens)
        image.publish(message)

    def warm_up(self):
        """
        Publish black images until all topics are connected: all messages arrived three times.

        A black image has no tracks, so that the first track of the case has number 0.
        """
        black = np.zeros((*self.case.size, 3), np.uint8)
        rounds, end = 0, time.monotonic() + 4 * TIMEOUT
        for number in range(1, 10**6):
            for shot in self.case.shots(number * self.case.described, WARM_UP, STEP * 4):
                for camera in shot[1]:
                    self.publish(camera, black, shot[2])
                rounds += not self.missing(*shot, timeout=1.0) and self.reaches_tracker()
            if rounds >= 3 * len(self.case.cameras):
                return
            if time.monotonic() > end:
                raise Lost('messages for the images of the warm-up')

    def play(self):
        """Publish the images in lock-step; return hashes of all messages by topic and number."""
        pictures = {
            camera: views(self.case.size, side)
            for camera, side in zip(self.case.cameras, ('left', 'right'), strict=False)
        }
        published = []
        for number in range(IMAGES):
            for shot in self.case.shots(number, START, STEP):
                published.append(shot)
                for camera in shot[1]:
                    self.publish(camera, pictures[camera][number], shot[2])
                if not self.case.burst:
                    self.wait(*shot)
        for shot in published:
            self.wait(*shot)
        return self.hashes()

    def wait(self, *shot):
        """Wait for the messages for these images, then until the tracker has received them."""
        if missing := self.missing(*shot, timeout=TIMEOUT):
            raise Lost(f'{", ".join(missing)} of image {shot[0]}')
        self.spin(lambda: False, SETTLE)

    def missing(self, number, cameras, stamp, timeout):
        """Topics without a message for these images after `timeout` [s]."""
        expected = {(topic, stamp) for topic in self.case.expected(number, cameras)}
        self.spin(lambda: expected <= self.arrived, timeout)
        return sorted(topic for topic, _ in expected - self.arrived)

    def reaches_tracker(self):
        """True if no tracker is expected, or its diagnostics (1 Hz) count descriptors."""
        trackers = [v for name, v in self.status.items() if name.startswith('/tracker')]
        no_tracker = 'tracks' not in map(os.path.basename, self.case.outputs(self.case.cameras))
        return no_tracker or any(int(values['descriptors']) for values in trackers)

    def spin(self, condition, timeout):
        """Spin until `condition()` is true, at most `timeout` [s]."""
        end = time.monotonic() + timeout
        while not condition() and (left := end - time.monotonic()) > 0:
            self.executor.spin_once(timeout_sec=min(left, 0.02))

    def hashes(self):
        hashes, numbers = {}, Counter()
        for topic, message in self.received:
            if stamp_of(message) >= START:
                digest = hashlib.sha256(topic.encode())
                put(digest, message)
                hashes[f'{topic}/{numbers[topic]}'] = digest.hexdigest()
                numbers[topic] += 1
        return hashes


def played(folder, name, case):
    """Hashes of the messages of a case; RuntimeError with the nodes' logs if any is missing."""
    for attempt in range(1, ATTEMPTS + 1):
        own = folder / 'nodes' / f'{name}{attempt}'
        own.mkdir(parents=True)
        try:
            with Graph(case, own) as graph:
                graph.warm_up()
                return {f'nodes/{name}/{place}': h for place, h in graph.play().items()}
        except Lost as lost:
            print(f'nodes/{name}, attempt {attempt}: timeout, waiting for {lost}', file=sys.stderr)
    logs = '\n'.join(file.read_text() for file in sorted(own.glob('*.log')))
    raise RuntimeError(f'nodes/{name}: no attempt succeeded; output of the nodes:\n{logs}')


def prepare(folder):
    """Set the environment of `./dev run`, and print the folder of the tested package."""
    os.environ |= {
        'AMENT_PREFIX_PATH': sys.prefix,
        'FASTDDS_DEFAULT_PROFILES_FILE': str(PROFILES),
        'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
        'ROS_LOG_DIR': str(folder / 'log'),
    }
    code = 'import superpoint_rknn; print(*superpoint_rknn.__path__)'
    line = [sys.executable, '-c', code]
    done = subprocess.run(line, cwd=folder, check=True, capture_output=True, text=True)
    ours, theirs = ' '.join(sys.modules['superpoint_rknn'].__path__), done.stdout.strip()
    print(f'package, here: {ours}\npackage, in commands and nodes: {theirs}', flush=True)
    if ours != theirs:
        raise SystemExit('they differ: give an absolute folder in PYTHONPATH')


def run_all(folder):
    """Hashes of all messages of all cases, and of the network."""
    network = make_network(folder)
    hashes = {'network': hashlib.sha256(network.read_bytes()).hexdigest()}
    with ThreadPoolExecutor(1) as pool:  # at the same time as the nodes, which mostly wait
        cases = extract_cases(folder, network).items()
        futures = [pool.submit(extracted, folder, *case) for case in cases]
        for name, case in node_cases(folder, network).items():
            hashes |= played(folder, name, case)
        for future in futures:
            hashes |= future.result()
    return hashes


def compare(before, now):
    """A line for each message that differs."""
    return [
        f'{"missing" if name not in now else "new" if name not in before else "differs"}: {name}'
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name)
    ]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument('--record', type=Path, metavar='FILE')
    action.add_argument('--check', type=Path, metavar='FILE')
    args = parser.parse_args()
    before = json.loads(args.check.read_text()) if args.check else {}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the nodes are stopped
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix='guard_') as folder:
        prepare(Path(folder))
        hashes = run_all(Path(folder))
    print(f'{len(hashes)} hashes in {time.monotonic() - start:.0f} s')
    if args.record:
        args.record.write_text(json.dumps(hashes, indent=1, sort_keys=True) + '\n')
        return 0
    differences = compare(before, hashes)
    print('\n'.join(differences) or 'all hashes are equal')
    return int(bool(differences))


if __name__ == '__main__':
    sys.exit(main())
