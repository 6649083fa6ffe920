"""
Records of the viewer process: what to show where, as dictionaries of arrays.

`kind` and `entity` say what a record is and where it is shown; viewer_script.py reads them.
Points are shifted by half a pixel: rerun's origin is the corner of an image, ours the centre of
its first pixel.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from superpoint_rknn.nodes.common.overlay import AGES, COLOURS, score_colours

Record = dict[str, Any]  # values that numpy.savez stores without pickle
GAP = 8  # [px] between the two images of `matches`; viewer_script.py has it, too
MAX_LINES = 150  # drawn matches
LEGEND_SIZE = (720, 152)  # [px] width, height; viewer_script.py has it, too


def encode(record: Record) -> bytes:
    """Return a record as viewer_script.py reads it from its stdin."""
    archive = io.BytesIO()
    np.savez(archive, **record)
    return struct.pack('<I', len(archive.getbuffer())) + archive.getvalue()


def record(kind: str, entity: str, time: float, *, static: bool = False, **fields: Any) -> Record:
    """Return a record; time: when it happened [s]. static: it holds for all times."""
    return {'kind': kind, 'entity': entity, 'time': time, 'static': static, **fields}


def picture(entity: str, time: float, *parts: Record, static: bool = False) -> Record:
    """
    Return a record of a picture, whose parts `image`, `points` and `lines` return.

    A part that is left out stays as it is shown. One record costs the page less than one a part.
    """
    fields = {key: value for part in parts for key, value in part.items()}
    return record('picture', entity, time, static=static, **fields)


def image(grey: np.ndarray) -> Record:
    """
    Return an image; grey: (height, width) uint8, or (height, width, 3) uint8 BGR.

    Not as JPEG: a busy page draws points at once, but images only when it has decoded them.
    """
    return {'image': grey if grey.ndim == 2 else grey[:, :, ::-1]}


def points(xy: np.ndarray, bgr: np.ndarray) -> Record:
    """Return points, (N, 2) [px], and their colours, (N, 3) uint8 BGR."""
    return {'points': _shifted(xy), 'point_colours': bgr[:, ::-1]}


def lines(positions: np.ndarray, bgr: np.ndarray) -> Record:
    """Return N lines of K points, (N, K, 2) [px], and their colours, (N, 3) uint8 BGR."""
    return {'lines': _shifted(positions), 'line_colours': bgr[:, ::-1]}


def scalars(entity: str, time: float, values: Mapping[str, float]) -> Record:
    """Return a record of values for a plot, by the names of their lines."""
    names, numbers = np.array(list(values), np.str_), np.array(list(values.values()), float)
    return record('scalars', entity, time, names=names, values=numbers)


def matches(
    camera: str,
    time: float,
    images: Sequence[np.ndarray],
    first: np.ndarray,
    second: np.ndarray,
) -> Record:
    """
    Return the record of matches: two images side by side and a line for each match.

    images: the older and the newer one, (height, width) uint8 each. first, second: matched points
    of them, (N, 2) [px]; at most MAX_LINES are drawn, evenly chosen.
    """
    height, left = max(i.shape[0] for i in images), images[0].shape[1]
    canvas = np.full((height, left + GAP + images[1].shape[1]), 255, np.uint8)
    canvas[: images[0].shape[0], :left] = images[0]
    canvas[: images[1].shape[0], left + GAP :] = images[1]
    chosen = np.linspace(0, len(first) - 1, min(len(first), MAX_LINES)).astype(int)
    ends = np.stack([first, second + np.array([left + GAP, 0])], axis=1)[chosen]
    hues = (179 * np.clip(first[chosen, 1] / height, 0, 1)).astype(np.uint8)
    hsv = np.stack([hues, np.full_like(hues, 200), np.full_like(hues, 255)], axis=1)
    colours = cv2.cvtColor(hsv[:, None], cv2.COLOR_HSV2BGR)[:, 0] if len(hsv) else hsv
    return picture(f'{camera}/matches', time, image(canvas), lines(ends, colours))


def legend() -> Record:
    """Return the record of a picture that explains the colours."""
    canvas = np.full((*LEGEND_SIZE[::-1], 3), 32, np.uint8)
    scores = np.linspace(0, 1, 400)
    canvas[34:54, 160:560] = score_colours(scores)
    _write(canvas, 'keypoints', 10, 50)
    _write(canvas, 'score', 160, 24)
    for score in (0.0, 0.1, 0.25, 0.5, 1.0):
        _write(canvas, f'{score:g}', 160 + int(390 * score), 74, 0.45)
    _write(canvas, 'tracks', 10, 124)
    _write(canvas, 'age in images', 570, 124, 0.5)
    names = [
        f'{low}-{high - 1}'.removesuffix('-1') for low, high in zip((1, *AGES), AGES, strict=False)
    ]
    for index, (colour, name) in enumerate(zip(COLOURS, [*names, f'{AGES[-1]}+'], strict=True)):
        left = 160 + 80 * index
        canvas[108:128, left : left + 76] = colour
        _write(canvas, name, left + 4, 146, 0.45)
    return picture('/legend', 0.0, image(canvas), static=True)


def _write(canvas: np.ndarray, text: str, x: int, y: int, size: float = 0.65) -> None:
    cv2.putText(
        canvas, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, size, (230, 230, 230), 1, cv2.LINE_AA
    )


def _shifted(xy: np.ndarray) -> np.ndarray:
    return (xy + 0.5).astype(np.float32)
