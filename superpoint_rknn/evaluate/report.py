"""The figures of an evaluation as a table for the terminal and as a picture."""

from __future__ import annotations

import cv2
import numpy as np

COLUMNS = {
    'rep3': 'rep@3',
    'mma3': 'MMA@3',
    'h1': 'H@1',
    'h3': 'H@3',
    'h5': 'H@5',
    'auc5': 'AUC@5',
    'localization_error': 'loc. err.',
    'points': 'points',
    'matches': 'matches',
}
SHARES = ('rep3', 'mma3', 'h1', 'h3', 'h5')
WIDTH = 13  # characters of a column

# [px] of the picture
CHART, LEFT, TOP, GROUP = 300, 60, 60, 150
COLOURS = (  # BGR
    (180, 110, 40),
    (230, 180, 110),
    (70, 150, 240),
    (90, 160, 90),
    (80, 80, 200),
    (150, 150, 150),
)
BLACK, GREY, WHITE = (0, 0, 0), (200, 200, 200), (255, 255, 255)


def table(report: dict) -> str:
    """Figures of all rows with their 95 % intervals, the real pair, and 8 bits against float."""
    names = [row['name'] for row in report['rows']]
    margin = max(map(len, names)) + 2
    lines = [
        f'{report["pairs"]} pairs of {len(report["scenes"])} scenes; below: 95 % intervals',
        ' ' * margin + ''.join(f'{title:>{WIDTH}}' for title in COLUMNS.values()),
    ]
    for row in report['rows']:
        lines.append(f'{row["name"]:{margin}}' + ''.join(_cell(row[c], c) for c in COLUMNS))
        intervals = row['intervals']
        lines.append(' ' * margin + ''.join(_interval(intervals[c], c) for c in COLUMNS))
    if report['real']:
        lines.append(f'{report["real"]["name"]}, one real pair')
        for row in report['real']['rows']:
            lines.append(f'{row["name"]:{margin}}' + ''.join(_cell(row[c], c) for c in COLUMNS))
    for entry in report['differences']:
        parts = [_difference(metric, value) for metric, value in entry['metrics'].items()]
        lines.append(f'{entry["name"]} - {entry["reference"]}: {", ".join(parts)}')
    return '\n'.join(lines)


def _digits(metric: str) -> int:
    return {'points': 0, 'matches': 0, 'localization_error': 2}.get(metric, 3)


def _cell(value: float | None, metric: str) -> str:
    return f'{"-" if value is None else f"{value:.{_digits(metric)}f}":>{WIDTH}}'


def _interval(ends: list[float] | None, metric: str) -> str:
    if ends is None:
        return ' ' * WIDTH
    low, high = (f'{end:.{_digits(metric)}f}' for end in ends)
    return f'{f"{low}-{high}":>{WIDTH}}'


def _difference(metric: str, value: dict) -> str:
    text = f'{COLUMNS[metric]} {value["difference"]:+.3f}'
    if value['interval'] is None:
        return text
    low, high = value['interval']
    return f'{text} ({low:+.3f} to {high:+.3f})'


def chart(report: dict) -> np.ndarray:
    """Bars of the shares of all rows, with their 95 % intervals, (height, width, 3) uint8 BGR."""
    rows = report['rows']
    width, height = LEFT + GROUP * len(SHARES) + 20, TOP + CHART + 50
    canvas = np.full((height, width, 3), WHITE, np.uint8)
    for tenth in range(0, 11, 2):
        y = _y(tenth / 10)
        cv2.line(canvas, (LEFT, y), (width - 20, y), GREY)
        _write(canvas, f'{tenth / 10:.1f}', (LEFT - 38, y + 5))
    bar = (GROUP - 20) // len(rows)
    for group, metric in enumerate(SHARES):
        left = LEFT + GROUP * group + 10
        for index, row in enumerate(rows):
            x = left + bar * index
            colour = COLOURS[index % len(COLOURS)]
            cv2.rectangle(canvas, (x, _y(row[metric])), (x + bar - 3, _y(0)), colour, cv2.FILLED)
            if row['intervals'][metric] is not None:
                low, high = row['intervals'][metric]
                middle = x + (bar - 3) // 2
                cv2.line(canvas, (middle, _y(low)), (middle, _y(high)), BLACK, 1, cv2.LINE_AA)
        _write(canvas, COLUMNS[metric], (left + 35, TOP + CHART + 25))
    x = LEFT
    for index, row in enumerate(rows):
        colour = COLOURS[index % len(COLOURS)]
        cv2.rectangle(canvas, (x, 18), (x + 12, 30), colour, cv2.FILLED)
        _write(canvas, row['name'], (x + 18, 30))
        x += 40 + 10 * len(row['name'])
    return canvas


def _y(share: float) -> int:
    return TOP + round(CHART * (1 - share))


def _write(canvas: np.ndarray, text: str, place: tuple[int, int]) -> None:
    cv2.putText(canvas, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, BLACK, 1, cv2.LINE_AA)
