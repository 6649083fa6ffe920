"""
Readers of untrusted files and messages, each as a function bytes -> None.

What a target raises beside the errors that its reader documents is a finding. Files are written
to the current folder.
"""

from __future__ import annotations

import ctypes
import logging
import os
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import seeds

from superpoint_rknn.analyze.board_record import read_record
from superpoint_rknn.board_report.judge import judge
from superpoint_rknn.board_report.schema import read_report
from superpoint_rknn.board_report.text import console, index, markdown
from superpoint_rknn.bounded_yaml import read_yaml
from superpoint_rknn.evaluate.posed import read_pairs
from superpoint_rknn.extract import output
from superpoint_rknn.extract.parameters import read_parameters, runtime_options, settings_of
from superpoint_rknn.features.image import (
    COLOURS,
    MOSAICS,
    PACKED_LUMA,
    PLANAR_ROWS,
    WORDS,
    decode_as_stored,
    decode_in_colour,
    decompress,
    read_mask,
    to_grey,
)
from superpoint_rknn.features.image_header import MESSAGE_FORMATS
from superpoint_rknn.features.quantization import Quantization
from superpoint_rknn.network.weights import load_weights
from superpoint_rknn.runtimes.model_files import find_weights, resolve_input_table
from superpoint_rknn.runtimes.onnx.runtime import OnnxRuntime
from superpoint_rknn.runtimes.rknn.abi import GENERATION_1, GENERATION_2
from superpoint_rknn.runtimes.rknn.library import library_version
from superpoint_rknn.runtimes.rknn.runtime import TOOLKIT_VERSION
from superpoint_rknn.runtimes.rknn.tensors import read_tensor
from superpoint_rknn.runtimes.runtime import ModelError, check_tensors
from superpoint_rknn.sources.bag import IMAGE_TYPES, Bag, Images, RecordedImage
from superpoint_rknn.sources.files import Pictures, Video
from superpoint_rknn.sources.messages import image_as_recorded
from superpoint_rknn.sources.open import open_source
from superpoint_rknn.tracking.calibration import Calibration
from superpoint_rknn.tracking.calibration_file import read_calibration
from superpoint_rknn.vio.inputs import IMU_TYPE, read_extrinsics, read_table, read_tum

Reader = Callable[[bytes], None]


class Target(NamedTuple):
    read: Reader
    documented: tuple[type[Exception], ...]

    def run(self, data: bytes) -> None:
        with suppress(*self.documented):
            self.read(data)


TARGETS: dict[str, Target] = {}

ENCODINGS = ['mono8', '8UC1', *COLOURS, *MOSAICS, *WORDS, *PACKED_LUMA, *PLANAR_ROWS]
RAW = struct.Struct('<BBIII')  # encoding, is_bigendian, height, width, step
KINDS = [*sorted(IMAGE_TYPES), IMU_TYPE, 'sensor_msgs/msg/CameraInfo', 'no_msgs/msg/Type']
MATRICES = struct.Struct('<B9d9d12d')  # distortion model; K, R, P; then D
MODELS = ('plumb_bob', 'rational_polynomial', 'equidistant', 'mei', 'fisheye', '', 'none')
IMAGE_SIZE = (400, 640)  # [px] of the images of a calibration
MOST_MESSAGES = 50  # of a recording


def target(*documented: type[Exception]) -> Callable[[Reader], Reader]:
    """Add a function to TARGETS; it may raise the documented errors of its reader."""

    def add(read: Reader) -> Reader:
        TARGETS[read.__name__] = Target(read, documented)
        return read

    return add


def write(name: str, data: bytes) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


@target(ValueError)
def compressed_image(data):
    """A sensor_msgs/CompressedImage on a topic; nodes decode to grey, the overlay in colour."""
    with suppress(ValueError):
        decompress(data, 'jpeg')
    decode_in_colour(np.frombuffer(data, np.uint8), None, MESSAGE_FORMATS)


@target(ValueError)
def picture(data):
    """A mask or a picture of a folder, of all formats."""
    path = write('picture.png', data)
    with suppress(ValueError):
        list(Pictures([path]))
    read_mask(path)


@target(ValueError)
def euroc_picture(data):
    decode_as_stored(np.frombuffer(data, np.uint8))


@target(ValueError)
def raw_image(data):
    """A sensor_msgs/Image with any fields."""
    encoding, is_bigendian, height, width, step = RAW.unpack(data[: RAW.size].ljust(RAW.size))
    name = ENCODINGS[encoding] if encoding < len(ENCODINGS) else 'rgb9'
    to_grey(data[RAW.size :], height, width, step, name, bool(is_bigendian & 1))


@target(ValueError)
def serialized_message(data):
    """A message of a recording, in ROS 2's serialization and in ROS 1's."""
    if not data:
        return
    kind, is_ros1 = KINDS[data[0] % len(KINDS)], data[0] >= 128
    message = RecordedImage('/topic:0', '/topic', 0, kind, is_ros1, data[1:]).message()
    if kind in IMAGE_TYPES:
        image_as_recorded(message)


@target(ValueError)
def calibration(data):
    """A calibration file of any kind, and the camera model it gives."""
    path = write('calibration.yaml', data)
    with suppress(ValueError):
        use_calibration(read_calibration(path, 'cam1', 1, shared=True))
    use_calibration(read_calibration(path))


@target(ValueError)
def camera_info(data):
    """A sensor_msgs/CameraInfo with any numbers."""
    fields = MATRICES.unpack(data[: MATRICES.size].ljust(MATRICES.size, b'\0'))
    rest = data[MATRICES.size :]
    d = struct.unpack(f'<{len(rest) // 8}d', rest[: len(rest) // 8 * 8])
    kind, numbers = MODELS[fields[0] % len(MODELS)], fields[1:]
    use_calibration(
        Calibration(*IMAGE_SIZE, kind, d, numbers[:9], numbers[9:18], numbers[18:], (1, 1))
    )


def use_calibration(calibration: Calibration) -> None:
    size = (calibration.height or IMAGE_SIZE[0], calibration.width or IMAGE_SIZE[1])
    pixels = np.array([[0.0, 100.0, size[1] / 2], [0.0, 100.0, size[0] / 2]])
    with suppress(ValueError):  # most kinds of files have no projection matrix
        assert_directions(calibration.camera_model(size, rectified=True).undistort(*pixels))
    assert_directions(calibration.camera_model(size).undistort(*pixels))


def assert_directions(directions: np.ndarray) -> None:
    assert directions.shape == (3, 2), directions.shape
    assert not np.isinf(directions).any(), directions


@target(ValueError)
def any_yaml(data):
    """YAML with numbers and booleans, as of metadata.yaml and parameters."""
    read_yaml(write('any.yaml', data), typed=True)


@target(ValueError)
def parameters(data):
    """A parameter file for `extract`."""
    values = read_parameters([write('parameters.yaml', data)], [])
    settings_of(values, '/cam0/image_raw')
    runtime_options(values)


@target(ValueError)
def camera_pose(data):
    """The pose of the camera in a calibration for `vio`."""
    read_extrinsics(write('calibration.yaml', data))


@target(ValueError)
def imu_table(data):
    """data.csv of an IMU, for `vio`."""
    read_table(write('data.csv', data), 7)


@target(ValueError)
def tum_file(data):
    """The truth, for `vio`."""
    read_tum(write('truth.txt', data))


@target(ModelError, ValueError)
def model_card(data):
    """A model card, beside a model and beside weights."""
    write('model.json', data)
    quantization = Quantization(1 / 255, 0, np.dtype(np.uint8))
    resolve_input_table(Path('model.onnx'), quantization, None, None)
    find_weights('', 'model.onnx')


@target(ModelError, ValueError)
def weights_npz(data):
    load_weights(write('weights.npz', data))


@target(ModelError, ValueError)
def weights_pth(data):
    load_weights(write('weights.pth', data))


@target(ModelError, ValueError)
def weights_onnx(data):
    load_weights(write('weights.onnx', data))


@target(ModelError, ValueError)
def model_onnx(data):
    """A model of the CPU runtime, up to the first inference."""
    runtime = OnnxRuntime(write('model.onnx', data), threads=1)
    with suppress(RuntimeError):
        runtime.infer(np.zeros(runtime.input.shape[2:], np.uint8), None)
    runtime.close()


@target()
def rknn_tensors(data):
    """What the library reads from a .rknn file: the tensors' attributes, and versions."""
    path = write('model.rknn', data)
    library_version(path)
    TOOLKIT_VERSION.search(data)
    for abi in (GENERATION_1, GENERATION_2):
        size = ctypes.sizeof(abi.tensor_attr)
        padded = data[: 3 * size].ljust(3 * size, b'\0')
        attrs = [abi.tensor_attr.from_buffer_copy(padded, size * index) for index in range(3)]
        with suppress(ModelError):
            check_tensors(*(read_tensor(abi, attr).spec for attr in attrs))


def read_recording(path: Path) -> None:
    """Read the images of a recording, and the messages of other types."""
    images = Images(path)
    for recorded in islice(images.recorded(images.types), MOST_MESSAGES):
        try:
            recorded.message()
        except ValueError:
            continue
    images.missing_text  # noqa: B018
    for frame in islice(Bag(path), MOST_MESSAGES):
        frame.grey()


RECORDINGS = {
    'mcap': 'recording.mcap',
    'sqlite': 'recording.db3',
    'ros1_bag': 'recording.bag',
    'compressed_recording': 'recording.mcap.zstd',  # which rosbag2 has compressed as a whole
}
for _name, _file in RECORDINGS.items():
    TARGETS[_name] = Target(
        lambda data, file=_file: read_recording(write(file, data)), (ValueError,)
    )


@target(ValueError)
def recording_metadata(data):
    """metadata.yaml of a rosbag2."""
    folder = write('bag/metadata.yaml', data).parent
    write('bag/bag_0.mcap', seeds.mcap())
    read_recording(folder)


@target(ValueError)
def euroc_list(data):
    """data.csv of a camera of EuRoC."""
    write('euroc/cam0/data/1.png', seeds.png())
    write('euroc/cam0/data.csv', data)
    list(islice(open_source(Path('euroc')), MOST_MESSAGES))


@target(ValueError)
def video(data):
    list(islice(Video(write('video.avi', data)), 3))


@target(ValueError)
def board_outputs(data):
    """outputs.npz of a board, for `analyze --board`."""
    write('record/report.json', seeds.doctor_report())
    read_record(write('record/outputs.npz', data).parent).outputs  # noqa: B018


@target(ValueError)
def doctor_report(data):
    """report.json of `doctor --record`, for `analyze --board`."""
    write('record/outputs.npz', seeds.board_outputs())
    read_record(write('record/report.json', data).parent).outputs  # noqa: B018


@target(ValueError)
def board_report(data):
    """A report.json for `board-report --check` and `--table`."""
    report = read_report(write('report.json', data))
    console(judge(report))
    index({'board': report})
    markdown(report)


@target(ValueError, FileNotFoundError)
def posed_pairs(data):
    """A list of pairs for `evaluate`."""
    write('pair.png', seeds.png())
    read_pairs(write('pairs.json', data))


@target(FileExistsError)
def extracted_bag(data):
    """metadata.yaml of the output of an earlier `extract`."""
    output.read_record(write('extracted/metadata.yaml', data).parent)


def main(name: str, file: str) -> None:
    """Run a target once, to repeat a finding."""
    logging.disable()
    data = Path(file).read_bytes()
    with TemporaryDirectory() as folder:
        os.chdir(folder)
        TARGETS[name].run(data)


if __name__ == '__main__':
    main(*sys.argv[1:])
