"""Curves of a run's losses, drawn by OpenCV."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np

SIZE = (260, 420)  # [px] height and width of one curve
MARGIN = 40
COLUMNS = 3


def curves(log: Path, picture: Path) -> None:
    """Draw each column of a run's log over its steps."""
    with log.open(encoding='utf-8') as file:
        rows = list(csv.reader(file))
    if len(rows) < 3:
        return
    names, values = rows[0], np.array(rows[1:], float)
    panels = [_panel(name, values[:, 0], values[:, i]) for i, name in enumerate(names) if i > 1]
    panels += [np.full((*SIZE, 3), 255, np.uint8)] * (-len(panels) % COLUMNS)
    lines = [np.hstack(panels[i : i + COLUMNS]) for i in range(0, len(panels), COLUMNS)]
    picture.write_bytes(cv2.imencode('.png', np.vstack(lines))[1].tobytes())


def _panel(name: str, steps: np.ndarray, values: np.ndarray) -> np.ndarray:
    panel = np.full((*SIZE, 3), 255, np.uint8)
    low, high = float(values.min()), float(values.max())
    high = high if high > low else low + 1
    x = MARGIN + (SIZE[1] - 2 * MARGIN) * (steps - steps[0]) / max(np.ptp(steps), 1)
    y = SIZE[0] - MARGIN - (SIZE[0] - 2 * MARGIN) * (values - low) / (high - low)
    grey = (120, 120, 120)
    ends = (MARGIN, MARGIN), (SIZE[1] - MARGIN, SIZE[0] - MARGIN)
    cv2.rectangle(panel, *ends, (225, 225, 225))
    line = np.rint(np.stack([x, y], axis=1)).astype(np.int32)
    cv2.polylines(panel, [line], False, (160, 90, 20), 1, cv2.LINE_AA)
    texts = (
        (name, (MARGIN, MARGIN - 14)),
        (f'{high:.3g}', (4, MARGIN + 4)),
        (f'{low:.3g}', (4, SIZE[0] - MARGIN + 4)),
        (f'{steps[-1]:.0f} steps', (SIZE[1] - MARGIN - 70, SIZE[0] - 14)),
    )
    for text, place in texts:
        cv2.putText(panel, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.4, grey, 1, cv2.LINE_AA)
    return panel
