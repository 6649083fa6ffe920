"""What the host does for each image, without ROS: our way and the straightforward way."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator

import cv2
import numpy as np

from superpoint_rknn.bench import baselines
from superpoint_rknn.bench.recordings import Recording
from superpoint_rknn.bench.timing import Step
from superpoint_rknn.features.descriptors import DescriptorSampler
from superpoint_rknn.features.image import to_grey
from superpoint_rknn.features.keypoints import DetectorSettings, KeypointDetector, Keypoints
from superpoint_rknn.features.quantization import Quantization, input_table

POINTS = 500
# A quantised input that isn't the bytes themselves: of a network calibrated without black.
INPUT = Quantization(1.06, 12, np.uint8)
BYTES_PER_PIXEL = {
    'mono8': 1,
    'mono16': 2,
    'rgb8': 3,
    'bgr8': 3,
    'rgba8': 4,
    'bgra8': 4,
    'bayer_rggb8': 1,
    'yuv422': 2,
    'yuv422_yuy2': 2,
    'nv12': 1.5,
    'nv21': 1.5,
}


def numeric_steps(recording: Recording) -> Iterator[Step]:
    """Steps that need NumPy and OpenCV alone."""
    yield from conversion_steps(recording)
    yield input_step(recording)
    yield decode_step(recording)
    yield describe_step(recording)
    yield convert_to_step(recording)


def encoded(grey: np.ndarray, encoding: str) -> array:
    """Data of a sensor_msgs/Image that shows a grey image (H, W) uint8 in some encoding."""
    colour = cv2.cvtColor(grey, cv2.COLOR_GRAY2BGRA)
    if encoding == 'mono16':
        pixels = grey.astype('<u2') * np.uint16(257)
    elif encoding in ('rgb8', 'bgr8'):
        pixels = colour[:, :, :3]
    elif encoding in ('rgba8', 'bgra8'):
        pixels = colour
    elif encoding in ('yuv422', 'yuv422_yuy2'):
        pixels = np.full((*grey.shape, 2), 128, np.uint8)
        pixels[:, :, 1 if encoding == 'yuv422' else 0] = grey
    elif encoding in ('nv12', 'nv21'):
        chroma = np.full((grey.shape[0] // 2, grey.shape[1]), 128, np.uint8)
        pixels = np.vstack([grey, chroma])
    else:
        pixels = grey
    data = array('B')
    data.frombytes(pixels.tobytes())
    return data


def conversion_steps(recording: Recording) -> Iterator[Step]:
    """Message data to grey image, for each encoding."""
    height, width = recording.size
    for encoding, size in BYTES_PER_PIXEL.items():
        step = width if encoding in ('nv12', 'nv21') else int(size * width)
        data = [encoded(image, encoding) for image in recording.images]
        yield Step(
            f'convert_{encoding}',
            lambda i, d=data, s=step, e=encoding: to_grey(d[i % len(d)], height, width, s, e),
            lambda i, d=data, e=encoding: baselines.to_grey(d[i % len(d)], height, width, e),
            'a copy of the data, then cv2.cvtColor (mono16: NumPy)',
        )


def input_step(recording: Recording) -> Step:
    """Grey values to the integers of a network whose input isn't the image's bytes."""
    images = recording.images
    table = input_table(INPUT, 0.0, 1.0)
    out = np.empty(recording.size, np.uint8)
    return Step(
        'input_table',
        lambda i: cv2.LUT(images[i % len(images)], table, out),
        lambda i: baselines.network_input(images[i % len(images)], 0.0, 1.0, INPUT),
        'normalise in float32, then quantise',
    )


def decode_step(recording: Recording) -> Step:
    """Logits to keypoints, with the default settings."""
    detector, settings = KeypointDetector(*recording.size), DetectorSettings()
    logits, write = engine_buffer(recording.logits)
    return Step(
        'decode',
        lambda i: detector.detect(logits, settings),
        lambda i: baselines.detect(logits, settings),
        'softmax of all, depth to space, 9x9 dilation, argsort, top 500',
        write,
    )


def describe_step(recording: Recording) -> Step:
    """Descriptors of 500 points."""
    points, quantization = strongest_points(recording), recording.quantization
    raw, write = engine_buffer(recording.raw)
    sampler = DescriptorSampler(*raw.shape, quantization)

    def ours(i: int) -> np.ndarray:
        at = points[i % len(points)]
        return sampler.sample_descriptors(raw, at.x, at.y)

    def baseline(i: int) -> np.ndarray:
        at = points[i % len(points)]
        return baselines.describe(baselines.convert_to(raw, quantization), at.x, at.y)

    return Step(
        f'describe_{POINTS}',
        ours,
        baseline,
        'convertTo of the whole map, bilinear samples of it, normalisation',
        write,
    )


def convert_to_step(recording: Recording) -> Step:
    """The whole descriptor map as real numbers, which no other step needs."""
    quantization = recording.quantization
    raw, write = engine_buffer(recording.raw)
    real = np.empty(raw.shape, np.float32)
    return Step(
        'convert_to',
        lambda i: quantization.dequantize(raw, out=real) if quantization else raw,
        lambda i: baselines.convert_to(raw, quantization),
        'cv2.addWeighted, the nearest to cv::Mat::convertTo in Python',
        write,
    )


def engine_buffer(recorded: np.ndarray) -> tuple[np.ndarray, Callable[[int], None]]:
    """The one array that an engine writes this output to, and a function that does it."""
    buffer = recorded[0].copy()
    return buffer, lambda i: np.copyto(buffer, recorded[i % len(recorded)])


def strongest_points(recording: Recording) -> list[Keypoints]:
    """The 500 strongest points of each image, however weak."""
    detector = KeypointDetector(*recording.size)
    settings = DetectorSettings(threshold=0.0, max_keypoints=POINTS)
    return [detector.detect(logits, settings) for logits in recording.logits]
