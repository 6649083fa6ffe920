"""Small valid inputs of each target; mutations of them reach what its reader does with content."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import sqlite3
import struct
import tempfile
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import cv2
import lz4.frame
import numpy as np
import zstandard
from rosbags.rosbag1 import Writer as Ros1Writer
from rosbags.typesys import Stores, get_typestore

from superpoint_rknn.features import CELL
from superpoint_rknn.network.network import LAYERS, Weights, float_graph
from superpoint_rknn.network.rpautrat import MODULES
from superpoint_rknn.runtimes.model_files import find_weights
from superpoint_rknn.runtimes.rknn.abi import GENERATION_2, Format, Quantized, TensorType

IMAGE = 'sensor_msgs/msg/Image'
SIDE = 16  # [px]
WIDTH = 2  # channels of the inner layers
ENCODINGS = 31  # of the target raw_image
TIME = 1_700_000_000_000_000_000  # [ns]
PICTURE = (np.arange(SIDE * SIDE).reshape(SIDE, SIDE) * 7 % 256).astype(np.uint8)
ROS = """\
image_width: 640
image_height: 400
camera_matrix: {rows: 3, cols: 3, data: [400, 0, 320, 0, 400, 200, 0, 0, 1]}
distortion_model: plumb_bob
distortion_coefficients: {rows: 1, cols: 5, data: [0.1, 0, 0, 0, 0]}
rectification_matrix: {rows: 3, cols: 3, data: [1, 0, 0, 0, 1, 0, 0, 0, 1]}
projection_matrix: {rows: 3, cols: 4, data: [400, 0, 320, 0, 0, 400, 200, 0, 0, 0, 1, 0]}
"""
PRINTED = """\
height: 400
width: 640
distortion_model: equidistant
d: [0.1, 0.0, 0.0, 0.0]
k: [400.0, 0.0, 320.0, 0.0, 400.0, 200.0, 0.0, 0.0, 1.0]
r: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
p: [400.0, 0.0, 320.0, 0.0, 0.0, 400.0, 200.0, 0.0, 0.0, 0.0, 1.0, 0.0]
binning_x: 1
roi: {x_offset: 0, y_offset: 0, height: 0, width: 0, do_rectify: false}
---
"""
KALIBR = """\
cam0:
  T_cam_imu:
  - [1.0, 0.0, 0.0, 0.1]
  - [0.0, 1.0, 0.0, 0.0]
  - [0.0, 0.0, 1.0, 0.0]
  - [0.0, 0.0, 0.0, 1.0]
  camera_model: omni
  distortion_coeffs: [0.1, 0.0, 0.0, 0.0]
  distortion_model: radtan
  intrinsics: [1.1, 400.0, 400.0, 320.0, 200.0]
  resolution: [640, 400]
cam1:
  camera_model: pinhole
  distortion_model: none
  intrinsics: [400.0, 400.0, 320.0, 200.0]
  resolution: [640, 400]
"""
EUROC = """\
sensor_type: camera
T_BS:
  cols: 4
  rows: 4
  data: [1.0, 0.0, 0.0, 0.1, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0]
resolution: [640, 400]
camera_model: pinhole
intrinsics: [400.0, 400.0, 320.0, 200.0]
distortion_model: radial-tangential
distortion_coefficients: [-0.28, 0.07, 0.0, 0.0]
"""
VINS = """\
%YAML:1.0
---
model_type: MEI
image_width: 640
image_height: 400
mirror_parameters:
   xi: 1.1
distortion_parameters:
   k1: 0.1
   k2: 0.0
   p1: 0.0
   p2: 0.0
projection_parameters:
   gamma1: 400.0
   gamma2: 400.0
   u0: 320.0
   v0: 200.0
"""
PARAMETERS = """\
/**:
  ros__parameters:
    model: superpoint_small
    detector.threshold: 0.015
    detector: {max_keypoints: 100, nms_radius: 4}
    input_range: [0, 4095]
    input: {mean: .nan, pass_through: auto}
    mask: ""
tracker:
  ros__parameters: {rectified: false}
"""
METADATA = """\
rosbag2_bagfile_information:
  version: 9
  storage_identifier: mcap
  relative_file_paths: [bag_0.mcap, bag_1.mcap]
  message_count: 2
  topics_with_message_count:
  - topic_metadata: {name: /image, type: sensor_msgs/msg/Image, serialization_format: cdr}
    message_count: 2
  custom_data:
    superpoint_rknn: '{"request": {"model": "m@1"}, "summary": {"images": 3}}'
"""
TUM = f'# time x y z qx qy qz qw\n{TIME / 1e9} 0 0 0 0 0 0 1\n'


def png() -> bytes:
    return encoded('.png')


def encoded(suffix: str, picture: np.ndarray = PICTURE) -> bytes:
    return cv2.imencode(suffix, picture)[1].tobytes()


def pictures() -> list[bytes]:
    colour = cv2.merge([PICTURE, PICTURE[::-1], PICTURE.T])
    words = PICTURE.astype(np.uint16) * 16
    return [
        encoded('.jpg'),
        encoded('.jpg', colour),
        png(),
        encoded('.png', cv2.merge([words, words, words])),
        encoded('.webp', colour),
        cv2.imencode('.webp', colour, [cv2.IMWRITE_WEBP_QUALITY, 101])[1].tobytes(),
        encoded('.tif', words),
    ]


def serialized(encoding: str = 'mono8') -> bytes:
    """Return a sensor_msgs/Image in CDR, written out: header, size, pixels."""
    parts = [b'\0\1\0\0', struct.pack('<iII', 1_700_000_000, 0, 4), b'cam\0']
    parts.append(struct.pack('<II', SIDE, SIDE))
    text = encoding.encode() + b'\0'
    parts += [struct.pack('<I', len(text)), text]
    size = sum(map(len, parts)) - 4
    parts.append(b'\0' + bytes(-(size + 1) % 4))  # is_bigendian
    parts += [struct.pack('<II', SIDE, SIDE * SIDE), PICTURE.tobytes()]
    return b''.join(parts)


def message(kind: str, ros1: bool) -> bytes:
    """Return a message of a type in KINDS of the targets, serialised."""
    types = get_typestore(Stores.ROS1_NOETIC if ros1 else Stores.ROS2_HUMBLE)
    if kind == IMAGE and not ros1:
        return serialized()
    make = types.types
    time = make['builtin_interfaces/msg/Time'](1_700_000_000, 0)
    sequence = {'seq': 1} if ros1 else {}
    header = make['std_msgs/msg/Header'](stamp=time, frame_id='cam', **sequence)
    if kind == 'sensor_msgs/msg/CompressedImage':
        content = make[kind](header, 'jpeg', np.frombuffer(encoded('.jpg'), np.uint8))
    else:
        content = make[kind](header, SIDE, SIDE, 'mono8', 0, SIDE, PICTURE.ravel())
    return bytes((types.serialize_ros1 if ros1 else types.serialize_cdr)(content, kind))


def record(code: int, content: bytes) -> bytes:
    return struct.pack('<BQ', code, len(content)) + content


def text(value: str) -> bytes:
    return struct.pack('<I', len(value)) + value.encode()


def mcap(compression: str | None = None) -> bytes:
    """Return an MCAP file of two images; compression: of its chunk; None: without chunks."""
    schema = struct.pack('<H', 1) + text(IMAGE) + text('ros2msg') + text('')
    channel = struct.pack('<HH', 7, 1) + text('/image') + text('cdr') + struct.pack('<I', 0)
    body = record(3, schema) + record(4, channel)
    for number in range(2):
        time = TIME + number
        body += record(5, struct.pack('<HIQQ', 7, number, time, time) + serialized())
    if compression is not None:
        packed = {'zstd': zstandard.compress, 'lz4': lz4.frame.compress}.get(compression, bytes)(
            body
        )
        head = struct.pack('<QQQI', TIME, TIME + 1, len(body), 0) + text(compression)
        index = struct.pack('<HI', 7, 32) + struct.pack('<QQQQ', TIME, 0, TIME + 1, 9)
        body = record(6, head + struct.pack('<Q', len(packed)) + packed) + record(7, index)
    magic = b'\x89MCAP0\r\n'
    return b''.join([magic, record(1, text('') * 2), body, record(2, bytes(20)), magic])


def sqlite() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'bag.db3')
        database = sqlite3.connect(path)
        database.executescript(
            'PRAGMA page_size=512;'
            'CREATE TABLE topics(id INTEGER PRIMARY KEY,name TEXT NOT NULL,type TEXT NOT NULL,'
            'serialization_format TEXT NOT NULL,offered_qos_profiles TEXT NOT NULL);'
            'CREATE TABLE messages(id INTEGER PRIMARY KEY,topic_id INTEGER NOT NULL,'
            'timestamp INTEGER NOT NULL, data BLOB NOT NULL);'
            'CREATE INDEX timestamp_idx ON messages (timestamp ASC);'
            f"INSERT INTO topics VALUES(1, '/image', '{IMAGE}', 'cdr', '');"
        )
        for number in range(2):
            row = (number + 1, 1, TIME + number, serialized())
            database.execute('INSERT INTO messages VALUES(?, ?, ?, ?)', row)
        database.commit()
        database.close()
        return path.read_bytes()


def ros1_bag(compression: str | None = None) -> bytes:
    types = get_typestore(Stores.ROS1_NOETIC)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'recording.bag')
        writer = Ros1Writer(path)
        if compression:
            writer.set_compression(Ros1Writer.CompressionFormat[compression])
        with writer:
            kind = 'sensor_msgs/msg/CompressedImage'
            connection = writer.add_connection('/image', kind, typestore=types)
            for number in range(2):
                writer.write(connection, TIME + number, message(kind, True))
        return path.read_bytes()


@cache
def weights() -> Weights:
    """Return a tiny network: inner layers of WIDTH channels."""
    rng = np.random.default_rng(0)
    kernels, biases = {}, {}
    for layer in LAYERS:
        outputs = layer.outputs if not layer.relu else WIDTH
        inputs = 1 if layer.inputs == 1 else WIDTH
        shape = (outputs, inputs, layer.kernel, layer.kernel)
        kernels[layer.name] = rng.normal(0, 1, shape).round(1).astype(np.float32)
        biases[layer.name] = np.zeros(outputs, np.float32)
    return Weights(kernels, biases)


def npz(**arrays: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def card() -> bytes:
    digest = hashlib.sha256(find_weights('superpoint').read_bytes()).hexdigest()
    weights = {'name': 'superpoint.npz', 'sha256': digest}
    return json.dumps({'input': {'mean': 0, 'std': 255}, 'weights': weights}).encode()


def named_weights() -> dict[str, np.ndarray]:
    network = weights()
    return {
        f'{layer.name}.{part}': tensors[layer.name]
        for layer in LAYERS
        for part, tensors in (('weight', network.kernels), ('bias', network.biases))
    }


def rpautrat_weights() -> dict[str, np.ndarray]:
    network, tensors = weights(), {}
    for layer in LAYERS:
        module, kernel = MODULES[layer.name], network.kernels[layer.name]
        tensors[f'{module}.conv.weight'] = kernel
        names = ('conv.bias', 'bn.weight', 'bn.bias', 'bn.running_mean', 'bn.running_var')
        for name in names:
            tensors[f'{module}.{name}'] = np.ones(len(kernel), np.float32)
    return tensors


class _Rebuild:
    """Pickles as torch's `_rebuild_tensor_v2` of a storage."""

    def __init__(self, key: str, values: np.ndarray):
        self.key, self.values = key, values


class _Pickler(pickle._Pickler):  # type: ignore[name-defined]  # in Python, so that save is ours
    """Writes what torch.save writes, without torch."""

    def save(self, obj, save_persistent_id=True):
        if isinstance(obj, _Rebuild):
            self.write(b'ctorch._utils\n_rebuild_tensor_v2\n(')
            self.write(b'(')
            super().save('storage')
            self.write(b'ctorch\nFloatStorage\n')
            for item in (obj.key, 'cpu', obj.values.size):
                super().save(item)
            self.write(b'tQ')
            super().save(0)
            super().save(obj.values.shape)
            super().save(tuple(step // 4 for step in obj.values.strides))
            super().save(False)
            self.write(b'}tR')
        else:
            super().save(obj, save_persistent_id)


def pth(tensors: dict[str, np.ndarray]) -> bytes:
    """Return a file as torch.save writes it."""
    stream, content = io.BytesIO(), io.BytesIO()
    state = {
        name: _Rebuild(str(key), values) for key, (name, values) in enumerate(tensors.items())
    }
    _Pickler(content, 2).dump({'state_dict': state})
    with zipfile.ZipFile(stream, 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('archive/data.pkl', content.getvalue())
        for entry in state.values():
            archive.writestr(f'archive/data/{entry.key}', entry.values.tobytes())
    return stream.getvalue()


def onnx(size: int = SIDE) -> bytes:
    return float_graph(weights(), (size, size)).SerializeToString()


def rknn_attributes() -> bytes:
    """Return the attributes of the three tensors of a model, generation 2, and two versions."""
    cells = SIDE // CELL
    shapes = ((1, SIDE, SIDE, 1), (1, 65, cells, cells), (1, 256, cells, cells))
    parts = []
    for number, shape in enumerate(shapes):
        attr = GENERATION_2.tensor_attr(index=number, n_dims=4, name=b'tensor')
        attr.dims[:4] = shape
        attr.n_elems = attr.size = int(np.prod(shape))
        attr.fmt = Format.NCHW if number else Format.NHWC
        attr.type, attr.qnt_type = TensorType.INT8, Quantized.AFFINE
        attr.scale = 0.1
        parts.append(bytes(attr))
    return b''.join([*parts, b'compiler version: 2.3.2 librknnrt version: 2.3.2'])


def board_outputs() -> bytes:
    cells = (SIDE // CELL, SIDE // CELL)
    return npz(
        image=PICTURE,
        logits=np.zeros((65, *cells), np.float32),
        descriptors=np.zeros((256, *cells), np.int8),
    )


def doctor_report() -> bytes:
    tensor = {'name': 'desc', 'scale': 0.1, 'zero_point': 0}
    runtime = {'engine': 'librknnrt', 'model': 'm@1', 'tensors': [tensor] * 3}
    return json.dumps({'runtime': runtime}).encode()


def board_report() -> bytes:
    cells = SIDE // CELL
    state = {
        f'{kind}_{name}': None if name == 'governor' else 1000
        for kind in ('cpu', 'npu')
        for name in ('mhz', 'max_mhz', 'governor')
    } | {'temperature_c': 50, 'memory_mb': 4000, 'memory_available_mb': 3000}
    tensors = [
        {'name': 't', 'shape': shape, 'dtype': 'int8', 'scale': 0.1, 'zero_point': 0}
        for shape in ([1, 1, SIDE, SIDE], [1, 65, cells, cells], [1, 256, cells, cells])
    ]
    image = {
        'name': 'polygons',
        'finite': True,
        'identical': True,
        'mistakes': [],
    } | dict.fromkeys(
        (
            *('logits_max_difference', 'logits_correlation', 'cosine', 'equal_bytes'),
            *('within_one', 'max_byte_difference', 'zero_point_shift', 'keypoints_within_1px'),
        )
    )
    model = {
        'file': 'superpoint.rknn',
        'sha256': '0' * 64,
        'target': 'rk3588',
        'toolkit': '2.3.2',
        'network': 'superpoint',
        'card': None,
        'generation': 2,
        'library': 'librknnrt.so',
        'driver': '0.9.8',
        'error': None,
        'library_error': None,
        'load_s': 1,
        'runtime': {
            'engine': 'librknnrt',
            'pass_through': True,
            'input_table': 'identity',
            'tensors': tensors,
        },
        'outputs': [],
        'ramp': {'equal_logits': 1, 'equal_descriptors': 1, 'explained_by': None},
        'faults': [],
        'images': [image | {'keypoints': 10, 'golden_keypoints': 10}],
        'times': [],
        'state': state,
    }
    report = {
        'schema': 1,
        'date': '2026-11-28',
        'system': {
            **dict.fromkeys(('superpoint_rknn', 'machine', 'python', 'numpy', 'opencv'), '1'),
            **{'kernel': '6.1', 'ros': True, 'native': True},
        },
        'board': {
            **{'model': 'board', 'soc': 'rk3588', 'npu_driver': '0.9.8', 'rknnlite': False},
            'libraries': [
                {'file': 'librknnrt.so', 'generation': 2, 'version': '2.3.2', 'reason': None}
            ],
        },
        'advice': [],
        'blocked': None,
        'state': state,
        'models': [model],
        'host_times': [],
    }
    return json.dumps(report).encode()


def posed_pairs() -> bytes:
    eye = np.eye(4)
    eye[0, 3] = 1
    matrix = [[400, 0, 320], [0, 400, 200], [0, 0, 1]]
    pair = {'images': ['pair.png', 'pair.png'], 'K0': matrix, 'K1': matrix}
    return json.dumps([pair | {'T_0to1': eye.tolist()}]).encode()


def avi() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'video.avi')
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'MJPG'), 10, (SIDE, SIDE))
        for _ in range(2):
            writer.write(cv2.merge([PICTURE] * 3))
        writer.release()
        return path.read_bytes()


def raw_images() -> list[bytes]:
    return [
        struct.pack('<BBIII', number, 0, 4, 4, 32) + bytes(range(256)) + bytes(128)
        for number in range(ENCODINGS)
    ]


def messages() -> list[bytes]:
    kinds = ('sensor_msgs/msg/CompressedImage', IMAGE)  # in the order of the targets' KINDS
    return [
        bytes([number + (130 if ros1 else 0)]) + message(kind, ros1)
        for number, kind in enumerate(kinds)
        for ros1 in (False, True)
    ]


def camera_info() -> bytes:
    k = (400, 0, 320, 0, 400, 200, 0, 0, 1)
    p = (400, 0, 320, 0, 0, 400, 200, 0, 0, 0, 1, 0)
    return struct.pack('<B9d9d12d5d', 0, *k, *np.eye(3).ravel(), *p, 0.1, 0, 0, 0, 0)


CALIBRATIONS = [text.encode() for text in (ROS, PRINTED, KALIBR, EUROC, VINS)]
SEEDS: dict[str, Callable[[], list[bytes]]] = {
    'compressed_image': pictures,
    'picture': lambda: [*pictures(), encoded('.bmp'), encoded('.pgm')],
    'euroc_picture': pictures,
    'raw_image': raw_images,
    'serialized_message': messages,
    'calibration': lambda: CALIBRATIONS,
    'camera_info': lambda: [camera_info()],
    'any_yaml': lambda: [METADATA.encode()],
    'parameters': lambda: [PARAMETERS.encode()],
    'camera_pose': lambda: [KALIBR.encode(), EUROC.encode()],
    'imu_table': lambda: [f'#time,w\n{TIME},0,0,0,0,0,9.8\n'.encode()],
    'tum_file': lambda: [TUM.encode()],
    'model_card': lambda: [card()],
    'weights_npz': lambda: [npz(**named_weights())],
    'weights_pth': lambda: [pth(named_weights()), pth(rpautrat_weights())],
    'weights_onnx': lambda: [onnx()],
    'model_onnx': lambda: [onnx()],
    'rknn_tensors': lambda: [rknn_attributes()],
    'mcap': lambda: [mcap(), mcap(''), mcap('zstd'), mcap('lz4')],
    'sqlite': lambda: [sqlite()],
    'ros1_bag': lambda: [ros1_bag(), ros1_bag('BZ2'), ros1_bag('LZ4')],
    'compressed_recording': lambda: [zstandard.compress(mcap())],
    'recording_metadata': lambda: [METADATA.encode()],
    'euroc_list': lambda: [f'#timestamp,filename\n{TIME},1.png\n'.encode()],
    'video': lambda: [avi()],
    'board_outputs': lambda: [board_outputs()],
    'doctor_report': lambda: [doctor_report()],
    'board_report': lambda: [board_report()],
    'posed_pairs': lambda: [posed_pairs()],
    'extracted_bag': lambda: [METADATA.encode()],
}
