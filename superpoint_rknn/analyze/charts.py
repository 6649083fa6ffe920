"""Charts of an analysis, as SVG and PNG that stand inside an HTML page."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable
from html import escape

import cv2
import numpy as np

from superpoint_rknn.analyze.advice import CLIPPED, own_error, percent
from superpoint_rknn.analyze.analysis import Analysis
from superpoint_rknn.analyze.layer_errors import LayerErrors
from superpoint_rknn.features.keypoints import Keypoints

WIDTH, ROW, LEFT, RIGHT = 420, 22, 62, 16  # [px], wide enough to be read on a phone
LEAST, MOST = 1e-3, 1.0  # relative errors that the layer chart's axis spans
TICKS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
FLOAT_COLOUR, QUANTISED_COLOUR = (255, 160, 40), (40, 140, 255)  # BGR, on photographs
BRIGHTEST = 0.3  # detector probability that the heat map shows at its brightest


def layer_chart(analysis: Analysis, worst: str | None) -> str:
    """Relative error of every layer at the keypoints, its own and the accumulated, log scale."""
    top, names = 24, list(analysis.layers)
    height = top + ROW * len(names) + 6
    parts = []
    for tick in TICKS:
        x = _log_x(tick)
        parts.append(f'<line class="grid" x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{height}"/>')
        label = f'{100 * tick:g}%'
        parts.append(f'<text class="tick" x="{x:.1f}" y="14" text-anchor="middle">{label}</text>')
    for i, (name, layer) in enumerate(analysis.layers.items()):
        y = top + ROW * (i + 0.5)
        parts.append(_row_label(name, y, name == worst))
        accumulated = layer.accumulated.at_keypoints.relative
        own = own_error(layer)
        places = [_log_x(error) for error in (own, accumulated) if error]
        if len(places) == 2:
            x1, x2 = places
            parts.append(f'<line class="link" x1="{x1:.1f}" y1="{y}" x2="{x2:.1f}" y2="{y}"/>')
        for kind, error in (('accumulated', accumulated), ('own', own)):
            if error:
                x = _log_x(error)
                title = f'<title>{escape(name)}, {kind}: {percent(error)}</title>'
                parts.append(
                    f'<circle class="{kind}" cx="{x:.1f}" cy="{y}" r="5.5">{title}</circle>'
                )
        if not own and not accumulated:
            parts.append(f'<text class="note" x="{_log_x(LEAST)}" y="{y + 4}">exact</text>')
        elif layer.quantization is None:
            x = _log_x(accumulated or LEAST) + (10 if accumulated else 0)
            parts.append(f'<text class="note" x="{x:.1f}" y="{y + 4}">in float</text>')
    return _svg(height, parts, 'Relative error of every layer at the keypoints')


def range_chart(layers: Iterable[LayerErrors], worst: str | None) -> str:
    """How many of the 256 steps typical values use, and what share of the values is clipped."""
    quantised = [layer for layer in layers if layer.steps_used is not None]
    width = WIDTH - LEFT - 168  # leaves room for the words
    parts = []
    for i, layer in enumerate(quantised):
        y = ROW * i + 4
        parts.append(_row_label(layer.name, y + 8, layer.name == worst))
        used = max(2.0, width * layer.steps_used)
        parts.append(f'<rect class="track" x="{LEFT}" y="{y}" width="{width}" height="14"/>')
        parts.append(f'<rect class="used" x="{LEFT}" y="{y}" width="{used:.1f}" height="14"/>')
        clipped, text = layer.saturated or 0, f'{round(256 * layer.steps_used)} steps'
        if clipped:
            text += f', {percent(clipped)} clipped'
        kind = 'bad' if clipped > CLIPPED else 'note'
        x = LEFT + width + 8
        parts.append(f'<text class="{kind}" x="{x}" y="{y + 12}">{text}</text>')
    return _svg(ROW * len(quantised) + 6, parts, 'Steps of 256 that typical values use')


def histogram(values: np.ndarray) -> str:
    """Distribution of cosines, (N,), up to 1."""
    height, bottom = 150, 130
    low = min(0.98, math.floor(50 * float(np.percentile(values, 0.5))) / 50)
    counts, edges = np.histogram(np.clip(values, low, 1), bins=30, range=(low, 1))
    width = (WIDTH - LEFT - RIGHT) / counts.size
    parts = [f'<line class="axis" x1="{LEFT}" y1="{bottom}" x2="{WIDTH - RIGHT}" y2="{bottom}"/>']
    for i, count in enumerate(counts):
        bar = (bottom - 10) * count / counts.max()
        title = f'<title>{edges[i]:.4f} to {edges[i + 1]:.4f}: {count}</title>'
        parts.append(
            f'<rect class="used" x="{LEFT + i * width + 1:.1f}" y="{bottom - bar:.1f}" '
            f'width="{width - 2:.1f}" height="{bar:.1f}">{title}</rect>'
        )
    for value in np.linspace(low, 1, 5):
        x = LEFT + (WIDTH - LEFT - RIGHT) * (value - low) / (1 - low)
        parts.append(
            f'<text class="tick" x="{x:.1f}" y="{height - 4}" text-anchor="middle">'
            f'{value:.3f}</text>'
        )
    parts.append(
        f'<text class="tick" x="{LEFT - 6}" y="18" text-anchor="end">{counts.max()}</text>'
    )
    return _svg(height, parts, 'Histogram of descriptor cosines')


def heat_picture(heat: np.ndarray) -> str:
    """Detector probability (H, W) as a picture; the root of it, so that weak points are seen."""
    brightness = np.sqrt(np.clip(heat / BRIGHTEST, 0, 1))
    grey = np.rint(255 * brightness).astype(np.uint8)
    return _png(cv2.applyColorMap(_enlarged(grey), cv2.COLORMAP_INFERNO))


def keypoint_picture(grey: np.ndarray, keypoints: tuple[Keypoints, Keypoints]) -> str:
    """The image with the first network's keypoints as circles, the second's as crosses."""
    canvas = cv2.cvtColor(_enlarged(grey), cv2.COLOR_GRAY2BGR)
    scale = canvas.shape[0] / grey.shape[0]
    circles, crosses = (
        [_place(points, scale, i) for i in range(len(points))] for points in keypoints
    )
    for x, y in circles:
        cv2.circle(canvas, (x, y), 5, FLOAT_COLOUR, 1, cv2.LINE_AA)
    for x, y in crosses:
        cv2.drawMarker(canvas, (x, y), QUANTISED_COLOUR, cv2.MARKER_CROSS, 7, 1, cv2.LINE_AA)
    return _png(canvas)


def _place(points: Keypoints, scale: float, i: int) -> tuple[int, int]:
    return (
        round(float((points.x[i] + 0.5) * scale - 0.5)),
        round(float((points.y[i] + 0.5) * scale - 0.5)),
    )


def _enlarged(image: np.ndarray) -> np.ndarray:
    """Small network images, enlarged by a whole number to be about 640 px wide."""
    times = max(1, round(640 / image.shape[1]))
    size = (image.shape[1] * times, image.shape[0] * times)
    return cv2.resize(image, size, interpolation=cv2.INTER_NEAREST)


def _png(image: np.ndarray) -> str:
    """A picture as the address of an <img>."""
    _, content = cv2.imencode('.png', image, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    return f'data:image/png;base64,{base64.b64encode(content).decode("ascii")}'


def _row_label(name: str, y: float, is_worst: bool) -> str:
    kind = 'worst' if is_worst else 'label'
    return (
        f'<text class="{kind}" x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{escape(name)}</text>'
    )


def _log_x(error: float) -> float:
    """Place of a relative error on the layer chart's axis, at its end if it lies beyond."""
    clamped = min(max(error, LEAST), MOST)
    share = math.log(clamped / LEAST) / math.log(MOST / LEAST)
    return LEFT + 8 + share * (WIDTH - LEFT - RIGHT - 16)


def _svg(height: float, parts: list[str], title: str) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">'
        f'{"".join(parts)}</svg>'
    )
