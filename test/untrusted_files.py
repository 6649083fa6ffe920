"""
Read mutated copies of small valid files, with little address space.

usage: untrusted_files.py FOLDER ROUNDS [SEED]. Prints each input that ends in anything but a
result, ValueError or ModelError, or takes longer than 5 s.
"""

import json
import logging
import random
import resource
import shutil
import sys
import time
import zipfile
from pathlib import Path

import cv2
import numpy as np

from superpoint_rknn.bounded_yaml import read_yaml
from superpoint_rknn.features.image import read_mask
from superpoint_rknn.network.weights import load_weights
from superpoint_rknn.runtimes.model_files import default_model, read_card
from superpoint_rknn.runtimes.onnx.model import read_onnx
from superpoint_rknn.runtimes.runtime import ModelError
from superpoint_rknn.tracking.calibration_file import read_calibration

SPACE = 700_000_000  # [bytes] more address space than the process has when it begins
SLOW = 5.0  # [s]
CALIBRATION = """\
image_width: 640
image_height: 400
camera_matrix: {rows: 3, cols: 3, data: [400, 0, 320, 0, 400, 200, 0, 0, 1]}
distortion_model: plumb_bob
distortion_coefficients: {rows: 1, cols: 5, data: [0, 0, 0, 0, 0]}
"""
SNIPPETS = (
    b'\xff' * 8,
    b'\x00' * 8,
    b'\x7f',
    b'9' * 400,
    b'{' * 3000,
    b'[' * 3000,
    b'&a [*a]',
    b'*a',
    b'%YAML 9.9\n',
    b'"\\ud800"',
    b'1e999',
    b'NaN',
    b'-',
    b"'",
    b'\n\n',
    b': ',
    b'\x80' * 4,
)


def seeds(folder):
    """Valid content and reader by file name."""
    model = default_model(None, 'superpoint_small')
    npz = folder / 'seed.npz'
    np.savez_compressed(npz, conv1a_weight=np.zeros((4, 1, 3, 3), np.float32), b=np.arange(9))
    with zipfile.ZipFile(folder / 'seed.pth', 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('archive/data.pkl', b'\x80\x02}q\x00X\x01\x00\x00\x00aq\x01K\x01s.')
        archive.writestr('archive/data/0', bytes(36))
    png = cv2.imencode('.png', np.arange(600, dtype=np.uint8).reshape(20, 30))[1].tobytes()
    jpeg = cv2.imencode('.jpg', np.arange(600, dtype=np.uint8).reshape(20, 30))[1].tobytes()
    card = model.with_suffix('.json').read_bytes()

    def card_of(path):
        return read_card(path.with_suffix('.onnx'))

    return {
        'calibration.yaml': (CALIBRATION.encode(), read_calibration),
        'any.yaml': (CALIBRATION.encode(), lambda path: read_yaml(path, typed=True)),
        'mask.png': (png, read_mask),
        'mask.jpg': (jpeg, read_mask),
        'card.json': (card, card_of),
        'weights.npz': (npz.read_bytes(), load_weights),
        'weights.pth': ((folder / 'seed.pth').read_bytes(), load_weights),
        'model.onnx': (model.read_bytes(), read_onnx),
        'weights.onnx': (model.read_bytes(), load_weights),
    }


def mutated(content, rng):
    """Content with one to four random changes."""
    data = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data) + 1) if rng.random() < 0.5 else rng.randrange(200)
        kind = rng.randrange(5)
        if kind == 0:
            data[at : at + 1] = bytes([rng.randrange(256)])
        elif kind == 1:
            data[at:at] = rng.choice(SNIPPETS)
        elif kind == 2:
            snippet = rng.choice(SNIPPETS)
            data[at : at + len(snippet)] = snippet
        elif kind == 3:
            del data[at : at + rng.randint(1, 40)]
        elif rng.random() < 0.3:
            del data[at:]
    return bytes(data)


def main(folder, rounds, seed=0):
    """Read `rounds` mutations of each seed."""
    logging.disable()
    files = seeds(folder)
    rng = random.Random(seed)
    size = int(Path('/proc/self/statm').read_text().split()[0]) * 4096
    resource.setrlimit(resource.RLIMIT_AS, (size + SPACE, size + SPACE))
    for name, (content, reader) in files.items():
        (folder / name).write_bytes(content)
        for number in range(rounds):
            path = folder / name
            path.write_bytes(mutated(content, rng))
            start = time.monotonic()
            problem = ''
            try:
                reader(path)
            except (ValueError, ModelError, OSError):
                pass
            except BaseException as error:
                problem = f'{type(error).__name__}: {error}'[:200]
            seconds = time.monotonic() - start
            if problem or seconds > SLOW:
                kept = folder / f'found_{number}_{name}'
                shutil.copy(path, kept)
                print(json.dumps([name, problem, round(seconds, 1), str(kept)]), flush=True)
    print('read', flush=True)


if __name__ == '__main__':
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
