"""
Write docs/demo.png: run the demo on a simulated camera in front of a photograph of the Colosseum.

    ./dev run python demo/readme_picture.py docs/demo.png

The photograph is in the public domain (CC0, see training/pictures.json) and was not used to train
the models. It is fetched from Debian's budgie-backgrounds (12 MB), which is not installed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import bag
import cv2
import numpy as np
import video
from live_view import LiveView
from PIL import Image

import demo
from superpoint_rknn.fetch.archive import checked_files
from superpoint_rknn.fetch.fetch import cache_folder, fetch
from superpoint_rknn.fetch.package import Package
from superpoint_rknn.processes import ProcessGroup

PICTURES = demo.CHECKOUT / 'training' / 'pictures.json'
PHOTOGRAPH = 'usr/share/backgrounds/budgie/roman-colosseum.jpg'
WALL = (960, 540)  # [px] width, height of the resized photograph
VIEW = (640, 400)  # [px] width, height of the camera's images
COUNT, RATE = 60, 3.0  # images and their rate [Hz], slow enough for a CPU


def photograph() -> np.ndarray:
    """Fetch the photograph; (height, width) uint8. Raises OSError, ValueError."""
    listed = json.loads(PICTURES.read_text(encoding='utf-8'))
    picture = next(each for each in listed['pictures'] if each['path'] == PHOTOGRAPH)
    package = next(each for each in listed['packages'] if each['name'] == picture['package'])
    path = fetch(Package(**package), cache_folder('packages'))
    ((_, content),) = checked_files(path, {PHOTOGRAPH: picture['sha256']})
    grey = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE)
    return cv2.resize(grey, WALL, interpolation=cv2.INTER_AREA)


def write_images(folder: Path, wall: np.ndarray) -> None:
    """Write the images of a camera that moves along a wall and turns."""
    for index in range(COUNT):
        turn = 2 * index / (COUNT - 1) - 1  # -1..1
        to_wall = cv2.getRotationMatrix2D((0, 0), 8 * turn, 0.9 - 0.06 * turn)
        centre = np.array([375 + 45 * turn, 275 - 45 * turn])
        to_wall[:, 2] = centre - to_wall[:, :2] @ (np.array(VIEW) - 1) / 2
        image = cv2.warpAffine(wall, to_wall, VIEW, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
        cv2.imwrite(str(folder / f'{index:03}.png'), image)


def main() -> int:
    """Write the picture; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument('png', type=Path)
    path = parser.parse_args().png
    with tempfile.TemporaryDirectory() as name:
        source, out = Path(name, 'images'), Path(name, 'out')
        source.mkdir()
        write_images(source, photograph())
        with LiveView(False) as view, ProcessGroup(out / 'log') as graph:
            demo.run(out, demo.Settings(str(source), COUNT / RATE, RATE), graph, view)
        replay = video.Replay(bag.read(out / 'bag'))
        for topic, time_ns, message in bag.messages(out / 'bag', *bag.TYPES):
            replay.add(topic, time_ns, message)
    picture = Image.fromarray(np.ascontiguousarray(replay.canvas.without_figures[..., ::-1]))
    picture.quantize(256, kmeans=1, dither=Image.Dither.NONE).save(path, optimize=True)
    return 0


if __name__ == '__main__':
    sys.exit(main())
