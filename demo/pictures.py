"""Contact sheet of a run: evenly spread images with their keypoints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from bag import Recording, header_of, messages
from canvas import draw_keypoints, panel_size, resized
from video import grey

ROWS, COLUMNS = 3, 4  # of the contact sheet
THUMBNAIL_WIDTH = 480  # [px] at most
GAP = 4  # [px] between the pictures of a sheet


def tile(pictures: Sequence[np.ndarray], columns: int) -> np.ndarray:
    """Arrange pictures of one size, (height, width, 3) uint8, row by row on white."""
    height, width = pictures[0].shape[:2]
    rows = -(-len(pictures) // columns)
    sheet = np.full((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3), 255, np.uint8)
    for index, picture in enumerate(pictures):
        top, left = (height + GAP) * (index // columns), (width + GAP) * (index % columns)
        sheet[top : top + height, left : left + width] = picture
    return sheet


def write_contact_sheet(path: Path, bag: Path, recording: Recording) -> None:
    """Write evenly spread images of a run with their keypoints; OSError on failure."""
    points = [r.points for r in recording.keypoints]
    count = min(len(points), ROWS * COLUMNS)
    indices = np.linspace(0, len(points) - 1, count).round().astype(int)
    chosen = {points[i].header: points[i] for i in indices}
    size = panel_size(points[0].image_size, THUMBNAIL_WIDTH)
    pictures = []
    for _, _, message in messages(bag, 'image'):
        if (header := header_of(message)) in chosen:
            panel = cv2.cvtColor(resized(grey(message), size), cv2.COLOR_GRAY2BGR)
            draw_keypoints(panel, chosen[header])
            pictures.append(panel)
    sheet = tile(pictures, min(COLUMNS, count))
    if not cv2.imwrite(str(path), sheet, [cv2.IMWRITE_PNG_COMPRESSION, 9]):
        raise OSError(f'{path}: could not be written')
