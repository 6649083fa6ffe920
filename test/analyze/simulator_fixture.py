"""
Recorded outputs of the shipped network in the simulator of rknn-toolkit2.

To record them again, with the calibration pictures of models/ORIGIN.md:
    PYTHONPATH=test .venv/bin/python test/analyze/simulator_fixture.py PICTURE...
"""

import hashlib
import importlib.util
import json
import sys
from pathlib import Path

import cv2
import numpy as np
from whole_pixels import whole_pixels

from superpoint_rknn.features.keypoints import KeypointDetector

FOLDER = Path(__file__).parent / 'fixtures'
ARRAYS, FACTS = FOLDER / 'simulator.npz', FOLDER / 'simulator.json'
PICTURES = Path(importlib.util.find_spec('skimage').submodule_search_locations[0]) / 'data'
# From the wheel of scikit-image: CC0, public domain or without known copyright restrictions (ihc).
# Of these, only grass is a calibration image of the 8-bit networks.
NAMES = (
    *('astronaut.png', 'brick.png', 'camera.png', 'chelsea.png', 'coffee.png'),
    *('grass.png', 'gravel.png', 'ihc.png', 'retina.jpg', 'rocket.jpg'),
)
SIZE = (400, 640)
EVERY = 20  # step between the keypoints, sorted by score, whose descriptors are recorded
SETTINGS = whole_pixels(threshold=0.0005, max_keypoints=500)


def model_input(name):
    """
    Centre of the picture in grey, (400, 640) uint8; smaller pictures are padded by reflection.

    Computed in integers, so that all versions of OpenCV give the same image.
    """
    blue, green, red = np.moveaxis(cv2.imread(str(PICTURES / name)).astype(np.uint32), 2, 0)
    grey = ((299 * red + 587 * green + 114 * blue + 500) // 1000).astype(np.uint8)
    lack = [max(0, wanted - side) for wanted, side in zip(SIZE, grey.shape, strict=True)]
    grey = np.pad(grey, [(n // 2, n - n // 2) for n in lack], 'reflect')
    y, x = ((side - wanted) // 2 for wanted, side in zip(SIZE, grey.shape, strict=True))
    return np.ascontiguousarray(grey[y : y + SIZE[0], x : x + SIZE[1]])


def sha256(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def keypoints(logits):
    return KeypointDetector(*SIZE).detect(logits, SETTINGS)


def taps(x, y):
    """
    Sorted indices of the cells in the flat map that the recorded descriptors depend on.

    A keypoint is interpolated between the centres of cells, which are at 8 i + 3.5.
    """
    i, j = (((side[::EVERY] - 3.5) // 8).astype(np.intp) for side in (y, x))
    rows = [np.clip(i + n, 0, SIZE[0] // 8 - 1) for n in (0, 1)]
    cols = [np.clip(j + n, 0, SIZE[1] // 8 - 1) for n in (0, 1)]
    return np.unique([row * (SIZE[1] // 8) + col for row in rows for col in cols])


def make(pictures):
    from superpoint_rknn.analyze.simulator import Simulator
    from superpoint_rknn.network.weights import load_weights
    from superpoint_rknn.quantize.calibration import calibration_image, ramp_image
    from superpoint_rknn.runtimes.model_files import shipped_models
    from superpoint_rknn.sources.files import Pictures

    weights = shipped_models() / 'superpoint.npz'
    frames = Pictures([Path(picture) for picture in pictures])
    calibration = [calibration_image(frame, SIZE) for frame in frames] + [ramp_image(SIZE)]
    arrays, images = {}, []
    with Simulator(load_weights(weights), calibration, size=SIZE) as simulator:
        for name in NAMES:
            grey = model_input(name)
            logits, raw = simulator.run(grey)
            points = keypoints(logits)
            arrays[f'{name}.x'] = points.x.astype(np.uint16)
            arrays[f'{name}.y'] = points.y.astype(np.uint16)
            kept = taps(points.x, points.y)
            arrays[f'{name}.descriptors'] = raw.reshape(len(raw), -1)[:, kept]
            hashes = {'image': sha256(grey), 'logits': sha256(logits), 'descriptors': sha256(raw)}
            images.append({'name': name, 'sha256': hashes})
    meaning = simulator.quantizations
    facts = {
        'rknn-toolkit2': simulator.version,
        'target': 'rv1126b',
        'weights': hashlib.sha256(weights.read_bytes()).hexdigest(),
        'calibration': [{'name': image.name, 'sha256': image.sha256} for image in calibration],
        'quantization': {
            name: {'scale': meaning[name].scale, 'zero_point': meaning[name].zero_point}
            for name in ('image', 'convDb')
        },
        'images': images,
    }
    FOLDER.mkdir(exist_ok=True)
    np.savez_compressed(ARRAYS, **arrays)
    FACTS.write_text(f'{json.dumps(facts, indent=2)}\n', encoding='utf-8')


if __name__ == '__main__':
    make(sys.argv[1:])
