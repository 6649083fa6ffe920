"""Straightforward implementations of the host's steps, the baselines of the bench."""

from __future__ import annotations

from array import array

import cv2
import numpy as np

from superpoint_rknn.features.keypoints import CELL, DetectorSettings, Keypoints
from superpoint_rknn.features.quantization import Quantization

YUV = {
    'nv12': (1.5, cv2.COLOR_YUV2GRAY_NV12),
    'nv21': (1.5, cv2.COLOR_YUV2GRAY_NV21),
}
PACKED = {'yuv422': cv2.COLOR_YUV2GRAY_UYVY, 'yuv422_yuy2': cv2.COLOR_YUV2GRAY_YUY2}
COLOURS = {
    'rgb8': (3, cv2.COLOR_RGB2GRAY),
    'bgr8': (3, cv2.COLOR_BGR2GRAY),
    'rgba8': (4, cv2.COLOR_RGBA2GRAY),
    'bgra8': (4, cv2.COLOR_BGRA2GRAY),
}
# OpenCV names a Bayer pattern by its second row, ROS by its first.
MOSAICS = {'bayer_rggb8': cv2.COLOR_BayerBG2GRAY}


def to_grey(data: array, height: int, width: int, encoding: str) -> np.ndarray:
    """
    Copy the unpadded data of an image and convert it to grey.

    Returns (height, width) uint8. Raises KeyError for an encoding that the bench does not measure.
    """
    values = np.frombuffer(bytes(data), np.uint8)
    if encoding == 'mono8':
        return values.reshape(height, width)
    if encoding == 'mono16':
        words = values.view('<u2').reshape(height, width)
        return np.rint(words / 257.0).astype(np.uint8)
    if encoding in MOSAICS:
        return cv2.cvtColor(values.reshape(height, width), MOSAICS[encoding])
    if encoding in YUV:
        rows, conversion = YUV[encoding]
        return cv2.cvtColor(values.reshape(int(rows * height), width), conversion)
    if encoding in PACKED:
        return cv2.cvtColor(values.reshape(height, width, 2), PACKED[encoding])
    channels, conversion = COLOURS[encoding]
    return cv2.cvtColor(values.reshape(height, width, channels), conversion)


def network_input(
    image: np.ndarray, mean: float, std: float, quantization: Quantization
) -> np.ndarray:
    """Normalise an image, (H, W) uint8, in float32, then quantize it."""
    limits = np.iinfo(quantization.dtype)
    real = (image.astype(np.float32) - np.float32(mean)) / np.float32(std)
    integers = np.rint(real / np.float32(quantization.scale) + quantization.zero_point)
    return np.clip(integers, limits.min, limits.max).astype(quantization.dtype)


def detect(logits: np.ndarray, settings: DetectorSettings) -> Keypoints:
    """
    Keypoints of logits (65, H/8, W/8): softmax, depth to space, NMS by dilation, sort, top-k.

    Ignores the grid and sub-pixel settings.
    """
    exponentials = np.exp(logits - logits.max(0))
    probability = exponentials / exponentials.sum(0)
    rows, cols = logits.shape[1:]
    cells = probability[:-1].reshape(CELL, CELL, rows, cols).transpose(2, 0, 3, 1)
    image = np.ascontiguousarray(cells).reshape(CELL * rows, CELL * cols)
    image[image <= np.float32(settings.threshold)] = 0
    window = np.ones((2 * settings.nms_radius + 1,) * 2, np.uint8)
    is_keypoint = (image == cv2.dilate(image, window)) & (image > 0)
    border = settings.border
    if border:
        is_keypoint[:border] = is_keypoint[-border:] = False
        is_keypoint[:, :border] = is_keypoint[:, -border:] = False
    y, x = np.nonzero(is_keypoint)
    sums = cv2.boxFilter(image, -1, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT)
    score = sums[y, x]
    order = np.argsort(-score, kind='stable')[: settings.max_keypoints]
    x, y = x[order].astype(np.float32), y[order].astype(np.float32)
    return Keypoints(x, y, np.minimum(score[order], 1))


def convert_to(raw: np.ndarray, quantization: Quantization | None) -> np.ndarray:
    """Dequantize a whole descriptor map to float32, as `cv::Mat::convertTo` does."""
    if quantization is None:
        return raw
    scale, offset = quantization.scale, -quantization.zero_point * quantization.scale
    flat = raw.reshape(raw.shape[0], -1)
    # Python has no Mat::convertTo; this is the fastest OpenCV function with the same result.
    real = cv2.addWeighted(flat, scale, flat, 0, offset, dtype=cv2.CV_32F)
    return real.reshape(raw.shape)


def describe(real: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Unit descriptors (N, C) at model input pixels: bilinear samples of a float map (C, h, w)."""
    _, rows, cols = real.shape
    column = np.clip((x + np.float32(0.5)) / CELL - np.float32(0.5), 0, cols - 1)
    row = np.clip((y + np.float32(0.5)) / CELL - np.float32(0.5), 0, rows - 1)
    x0, y0 = np.floor(column).astype(int), np.floor(row).astype(int)
    x1, y1 = np.minimum(x0 + 1, cols - 1), np.minimum(y0 + 1, rows - 1)
    right, below = column - np.float32(x0), row - np.float32(y0)
    descriptors = (
        real[:, y0, x0] * (1 - right) * (1 - below)
        + real[:, y0, x1] * right * (1 - below)
        + real[:, y1, x0] * (1 - right) * below
        + real[:, y1, x1] * right * below
    ).T
    return descriptors / np.maximum(np.linalg.norm(descriptors, axis=1, keepdims=True), 1e-12)
