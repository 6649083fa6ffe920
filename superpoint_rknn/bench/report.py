"""The figures of a bench as a table and as a picture."""

from __future__ import annotations

import math

import cv2
import numpy as np

# [px] of the picture
MARGIN, LABELS, BARS, LINE, BAR = 24, 240, 620, 34, 11
DECADES = (-3, 2)  # of milliseconds, from the left to the right end of the bars
OURS, BASELINE = (180, 110, 40), (190, 190, 190)  # BGR
BLACK, GRID, WHITE = (0, 0, 0), (225, 225, 225), (255, 255, 255)


def table(report: dict) -> str:
    """Rows of all steps, then the node and the tracker at each rate."""
    lines = [
        _machine(report['machine']),
        f'{"":28}{"median":>10}{"p95":>10}{"baseline":>10}{"ratio":>8}  [ms]',
    ]
    for row in report['rows']:
        lines.append(
            f'{row["name"]:28}{row["median_ms"]:10.4f}{row["p95_ms"]:10.4f}'
            f'{row["baseline_median_ms"]:10.4f}{row["ratio"]:8.2f}'
        )
    for figures in report.get('node', ()):
        latency, overhead = figures['latency_ms'], figures['frame_overhead_ms']
        lines.append(
            f'node at {figures["rate_hz"]:g} Hz, '
            f'descriptors at most at {figures["descriptors_rate"]:g} Hz: '
            f'{figures["dropped"]} of {figures["published"]} images dropped, '
            f'{figures["cpu_ms_per_image"]:.2f} ms of CPU an image, '
            f'{overhead["p50"]:.2f} ms from callback to keypoints, latency '
            f'{latency["p50"]:.2f}/{latency["p95"]:.2f}/{latency["p99"]:.2f} ms (p50/p95/p99)'
        )
    for figures in report.get('tracker', ()):
        latency = figures['latency_ms']
        lines.append(
            f'node and tracker at {figures["rate_hz"]:g} Hz: '
            f'{figures["lost"]} of {figures["published"]} images without tracks, latency '
            f'{latency["p50"]:.2f}/{latency["p95"]:.2f}/{latency["p99"]:.2f} ms (p50/p95/p99)'
        )
    if 'first_drop_hz' in report:
        first = report['first_drop_hz']
        lines.append(
            f'images per second without a drop: {report["no_drop_hz"]:g}; with the first drop: '
            + (f'{first:g}' if first else 'more than the camera gave')
        )
    return '\n'.join(lines)


def _machine(machine: dict) -> str:
    load = f'{machine["load"][0]:.1f} to {machine["load"][1]:.1f}'
    return (
        f'{machine["cpu"]}, {machine["cores"]} cores, Python {machine["python"]}, NumPy '
        f'{machine["numpy"]}, OpenCV {machine["opencv"]}; load average {load}'
        + ('' if machine['keeps_freed_memory'] else '; large arrays may be faulted in anew')
    )


def plot(rows: list[dict]) -> np.ndarray:
    """Bars of both ways on a logarithmic axis, (h, w, 3) uint8 BGR."""
    height, width = 2 * MARGIN + LINE * (len(rows) + 1), 2 * MARGIN + LABELS + BARS + 60
    canvas = np.full((height, width, 3), WHITE, np.uint8)
    bottom = height - MARGIN - LINE // 2
    for decade in range(DECADES[0], DECADES[1] + 1):
        x = _column(10.0**decade)
        cv2.line(canvas, (x, MARGIN), (x, bottom), GRID, 1)
        _write(canvas, f'{10.0**decade:g} ms', (x - 24, bottom + 16), BLACK)
    for index, row in enumerate(rows):
        top = MARGIN + LINE * index
        _write(canvas, row['name'], (MARGIN, top + 16), BLACK)
        for offset, key, colour in ((0, 'median_ms', OURS), (BAR, 'baseline_median_ms', BASELINE)):
            start, end = _column(0), _column(row[key])
            corner = (max(end, start + 1), top + offset + BAR - 1)
            cv2.rectangle(canvas, (start, top + offset), corner, colour, cv2.FILLED)
        longest = max(_column(row['median_ms']), _column(row['baseline_median_ms']))
        _write(canvas, f'x {row["ratio"]:.1f}', (longest + 8, top + 16), BLACK)
    _write(canvas, 'ours', (MARGIN, bottom + 16), OURS)
    _write(canvas, 'straightforward', (MARGIN + 50, bottom + 16), (120, 120, 120))
    return canvas


def _column(milliseconds: float) -> int:
    first, last = DECADES
    decade = min(max(math.log10(max(milliseconds, 1e-9)), first), last)
    return MARGIN + LABELS + round(BARS * (decade - first) / (last - first))


def _write(canvas: np.ndarray, text: str, at: tuple[int, int], colour: tuple) -> None:
    cv2.putText(canvas, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, 1, cv2.LINE_AA)
