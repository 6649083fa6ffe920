"""
Video and contact sheet of a run: keypoints drawn over their images.

As a program: write a contact sheet from the bag of a run. docs/demo.png was written from a folder
with the stereo pair motorcycle_left.png and motorcycle_right.png of scikit-image:
    ./dev demo --source FOLDER --seconds 6 --rate 3
    ./dev run python demo/pictures.py out/demo/bag docs/demo.png --rows 1 --columns 2
"""

from __future__ import annotations

import argparse
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from bag import Header, Points, Recording, header_of, messages, read

from superpoint_rknn.progress import tqdm

ROWS, COLUMNS = 3, 4  # of the contact sheet
THUMBNAIL_WIDTH = 480  # [px]
VIDEO_WIDTH = 1280  # [px] at most
GAP = 4  # [px] between the pictures of a sheet


def annotate(image: np.ndarray, points: Points, size: tuple[int, int]) -> np.ndarray:
    """
    Resize an image and draw a circle around each point; (height, width, 3) uint8 BGR.

    image: (height, width) uint8 grey. size: width, height [px].
    The colour shows the score: red 0, yellow 0.25, green 0.5, blue 1.
    """
    scale = np.divide(size, image.shape[::-1])
    smaller = cv2.INTER_AREA if scale.min() < 1 else cv2.INTER_LINEAR
    canvas = cv2.cvtColor(cv2.resize(image, size, interpolation=smaller), cv2.COLOR_GRAY2BGR)
    # Pixel centres are integers; with shift=4 cv2.circle takes sixteenths of a pixel.
    centres = (np.stack([points.x, points.y], axis=1) + 0.5) * scale - 0.5
    centres = np.rint(16 * centres).astype(int).tolist()
    for centre, colour in zip(centres, score_colours(points.score).tolist(), strict=True):
        cv2.circle(canvas, centre, 3 * 16, colour, 1, cv2.LINE_AA, shift=4)
    return canvas


def score_colours(score: np.ndarray) -> np.ndarray:
    """Colours of scores 0..1, (N, 3) uint8 BGR: red 0, yellow 0.25, green 0.5, blue 1."""
    hues = np.rint(120 * np.clip(score, 0, 1)).astype(np.uint8)  # in OpenCV's unit of 2 degrees
    full = np.full_like(hues, 255)
    hsv = np.stack([hues, full, full], axis=1)
    return cv2.cvtColor(hsv[:, None], cv2.COLOR_HSV2BGR)[:, 0] if len(hsv) else hsv


def tile(pictures: Sequence[np.ndarray], columns: int) -> np.ndarray:
    """Arrange pictures of one size, (height, width, 3) uint8, row by row on white."""
    height, width = pictures[0].shape[:2]
    rows = -(-len(pictures) // columns)
    sheet = np.full((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3), 255, np.uint8)
    for index, picture in enumerate(pictures):
        top, left = (height + GAP) * (index // columns), (width + GAP) * (index % columns)
        sheet[top : top + height, left : left + width] = picture
    return sheet


def write_contact_sheet(
    path: Path, bag: Path, recording: Recording, rows: int = ROWS, columns: int = COLUMNS
) -> None:
    """Write evenly spread images of a run with their points as one picture; OSError on failure."""
    headers = [r.points.header for r in recording.keypoints]
    count = min(len(headers), rows * columns)
    chosen = {headers[i] for i in np.linspace(0, len(headers) - 1, count).round().astype(int)}
    size = picture_size(recording, THUMBNAIL_WIDTH)
    points = points_by_header(recording)
    pictures = [annotate(image, points[h], size) for h, image in images(bag, chosen)]
    sheet = tile(pictures, min(columns, count))
    if not cv2.imwrite(str(path), sheet, [cv2.IMWRITE_PNG_COMPRESSION, 9]):
        raise OSError(f'{path}: could not be written')


def write_video(path: Path, bag: Path, recording: Recording, rate: float) -> None:
    """
    Write all images of a run that have keypoints as a video; OSError on failure.

    rate: of the images with keypoints [Hz], so that the video plays in real time.
    """
    size = picture_size(recording, min(VIDEO_WIDTH, recording.keypoints[0].points.image_size[1]))
    points = points_by_header(recording)
    # MPEG-4 has a time base with a denominator of 16 bits.
    rate = max(1.0, round(rate, 1))
    video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'mp4v'), rate, size)
    if not video.isOpened():
        raise OSError(f'{path}: OpenCV cannot write this video')
    shown = tqdm(images(bag, points), 'overlay', len(points), unit=' images', disable=None)
    for header, image in shown:
        video.write(annotate(image, points[header], size))
    video.release()


def points_by_header(recording: Recording) -> dict[Header, Points]:
    """Points of each image that has a Keypoints message."""
    return {r.points.header: r.points for r in recording.keypoints}


def picture_size(recording: Recording, width: int) -> tuple[int, int]:
    """Width and height of pictures about `width` wide; both even, as video codecs require."""
    image_height, image_width = recording.keypoints[0].points.image_size
    return width // 2 * 2, max(1, round(width * image_height / image_width / 2)) * 2


def images(bag: Path, headers: Collection[Header]) -> Iterator[tuple[Header, np.ndarray]]:
    """Images of a bag with the given headers, (height, width) uint8, in order of arrival."""
    for _, _, message in messages(bag, 'image'):
        if (header := header_of(message)) in headers:
            rows = message.data.reshape(message.height, message.step)
            yield header, rows[:, : message.width]


def main() -> None:
    """Write a contact sheet."""
    parser = argparse.ArgumentParser(description='A contact sheet from the bag of a demo.')
    parser.add_argument('bag', type=Path)
    parser.add_argument('png', type=Path)
    parser.add_argument('--rows', type=int, default=ROWS)
    parser.add_argument('--columns', type=int, default=COLUMNS)
    arguments = parser.parse_args()
    write_contact_sheet(
        arguments.png, arguments.bag, read(arguments.bag), arguments.rows, arguments.columns
    )


if __name__ == '__main__':
    main()
