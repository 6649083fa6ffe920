"""
Write the golden outputs of the shipped CPU networks, superpoint_rknn/board_report/golden/*.npz.

usage: python test/board_report/make_golden.py [FILE]
FILE: write the whole outputs for the same images there instead, which emulate a board on machines
without onnxruntime.
"""

import sys

import numpy as np

from superpoint_rknn.board_report.golden import CELLS, DECODE, FOLDER, IMAGES, digest, load_image
from superpoint_rknn.features.keypoints import KeypointDetector
from superpoint_rknn.runtimes.model_files import SHIPPED, default_model
from superpoint_rknn.runtimes.open import open_runtime


def golden_arrays(network):
    """Arrays of the file of one network."""
    runtime = open_runtime(default_model(None, network))
    quantization = runtime.descriptors.quantization
    detector = KeypointDetector(*runtime.input.shape[2:])
    raw = np.empty(runtime.descriptors.shape[1:], np.uint8)
    rows, cols = CELLS
    arrays = {'quantization': np.array([quantization.scale, quantization.zero_point])}
    for name in IMAGES:
        logits = runtime.infer(load_image(name), raw)
        keypoints = detector.detect(logits, DECODE)
        arrays |= {
            f'{name}_logits': logits[:, rows, cols].astype(np.float16),
            f'{name}_descriptors': raw[:, rows, cols].copy(),
            f'{name}_keypoints': np.stack([keypoints.x, keypoints.y], 1).astype(np.int16),
            f'{name}_digest': np.array(digest(raw)),
        }
    runtime.close()
    return arrays


def whole_outputs(network):
    """Logits and raw descriptors of one network for each image."""
    runtime = open_runtime(default_model(None, network))
    arrays = {}
    for name in IMAGES:
        raw = np.empty(runtime.descriptors.shape[1:], np.uint8)
        arrays[f'{network}_{name}_logits'] = runtime.infer(load_image(name), raw).copy()
        arrays[f'{network}_{name}_descriptors'] = raw
    runtime.close()
    return arrays


if __name__ == '__main__':
    if len(sys.argv) > 1:
        outputs = {}
        for network in SHIPPED:
            outputs |= whole_outputs(network)
        np.savez(sys.argv[1], **outputs)
        sys.exit()
    for network in SHIPPED:
        np.savez_compressed(FOLDER / f'{network}.npz', **golden_arrays(network))
