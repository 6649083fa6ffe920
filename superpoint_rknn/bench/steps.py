"""The steps of the host for each image, without ROS, and their baselines."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from functools import partial

import cv2
import numpy as np

from superpoint_rknn.bench import baselines
from superpoint_rknn.bench.recordings import Recording
from superpoint_rknn.bench.timing import Step
from superpoint_rknn.extractor import (
    Refine,
    descriptor_sampler,
    keypoint_detector,
    keypoint_refiner,
)
from superpoint_rknn.features.image import to_grey
from superpoint_rknn.features.keypoints import DetectorSettings, KeypointDetector, Keypoints
from superpoint_rknn.features.quantization import Quantization, input_table
from superpoint_rknn.features.refine import refine

POINTS = 500
# An input that needs a table: the network was calibrated on images without black.
INPUT = Quantization(1.06, 12, np.dtype(np.uint8))
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
    """Steps that need only NumPy and OpenCV."""
    yield from conversion_steps(recording)
    yield input_step(recording)
    yield decode_step(recording)
    yield refine_step(recording)
    yield describe_step(recording)
    yield convert_to_step(recording)


def encoded(grey: np.ndarray, encoding: str) -> array:
    """Data of a sensor_msgs/Image with a grey image, (H, W) uint8, in an encoding."""
    colour = cv2.cvtColor(grey, cv2.COLOR_GRAY2BGRA)
    pixels: np.ndarray = grey
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
    data = array('B')
    data.frombytes(pixels.tobytes())
    return data


def conversion_steps(recording: Recording) -> Iterator[Step]:
    """Conversion of message data to a grey image, for each encoding."""
    height, width = recording.size

    def convert(data: list[array], step: int, encoding: str, i: int) -> np.ndarray:
        return to_grey(data[i % len(data)], height, width, step, encoding)

    def convert_baseline(data: list[array], encoding: str, i: int) -> np.ndarray:
        return baselines.to_grey(data[i % len(data)], height, width, encoding)

    for encoding, size in BYTES_PER_PIXEL.items():
        step = width if encoding in ('nv12', 'nv21') else int(size * width)
        data = [encoded(image, encoding) for image in recording.images]
        yield Step(
            f'convert_{encoding}',
            partial(convert, data, step, encoding),
            partial(convert_baseline, data, encoding),
            'a copy of the data, then cv2.cvtColor (mono16: NumPy)',
        )


def input_step(recording: Recording) -> Step:
    """Quantization of an image for a network whose input is not the image's bytes."""
    images = recording.images
    table = input_table(INPUT, 0.0, 1.0)
    out = np.empty(recording.size, np.uint8)
    return Step(
        'input_table',
        lambda i: cv2.LUT(images[i % len(images)], table, out),
        lambda i: baselines.network_input(images[i % len(images)], 0.0, 1.0, INPUT),
        'normalise in float32, then quantize',
    )


def decode_step(recording: Recording) -> Step:
    """Decoding of logits to keypoints, with the default settings but without sub-pixel places."""
    detector, settings = keypoint_detector(*recording.size), DetectorSettings(subpixel=False)
    logits, write = output_buffer(recording.logits)
    return Step(
        'decode',
        lambda i: detector.detect(logits, settings),
        lambda i: baselines.detect(logits, settings),
        'softmax of all, depth to space, 9x9 dilation, argsort, top 500',
        write,
    )


def refine_step(recording: Recording) -> Step:
    """Refinement of 500 keypoints in the model input."""
    images, points, ours = recording.images, strongest_points(recording), keypoint_refiner()

    def apply(function: Refine, i: int) -> np.ndarray:
        at = points[i % len(points)]
        return np.stack(function(images[i % len(images)], at.x, at.y))

    return Step(
        f'refine_{POINTS}',
        lambda i: apply(ours, i),
        lambda i: apply(refine, i),
        'the same in NumPy, on the smoothed whole image',
    )


def describe_step(recording: Recording) -> Step:
    """Descriptors of 500 keypoints."""
    points, quantization = strongest_points(recording), recording.quantization
    raw, write = output_buffer(recording.raw)
    channels, rows, cols = raw.shape
    sampler = descriptor_sampler(channels, rows, cols, quantization)

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
    """Dequantization of the whole descriptor map; the nodes never do it."""
    quantization = recording.quantization
    raw, write = output_buffer(recording.raw)
    real = np.empty(raw.shape, np.float32)
    return Step(
        'convert_to',
        lambda i: quantization.dequantize(raw, out=real) if quantization else raw,
        lambda i: baselines.convert_to(raw, quantization),
        'cv2.addWeighted, the nearest to cv::Mat::convertTo in Python',
        write,
    )


def output_buffer(recorded: np.ndarray) -> tuple[np.ndarray, Callable[[int], None]]:
    """Buffer of a runtime's output, and a function that writes the output of image i to it."""
    buffer = recorded[0].copy()
    return buffer, lambda i: np.copyto(buffer, recorded[i % len(recorded)])


def strongest_points(recording: Recording) -> list[Keypoints]:
    """The 500 strongest keypoints of each image, without a threshold."""
    detector = KeypointDetector(*recording.size)
    settings = DetectorSettings(threshold=0.0, max_keypoints=POINTS)
    return [detector.detect(logits, settings) for logits in recording.logits]
