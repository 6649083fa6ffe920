"""Charts of an analysis, drawn by matplotlib, as `data:` URIs for an HTML page."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterable

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from superpoint_rknn.analyze.analysis import Analysis
from superpoint_rknn.analyze.diagnosis import CLIPPED, own_error, percent
from superpoint_rknn.analyze.layer_errors import LayerErrors
from superpoint_rknn.analyze.output_errors import Comparison

STYLE = {
    'font.size': 11,
    'axes.axisbelow': True,
    'axes.spines.right': False,
    'grid.color': '#e2e1dc',
    'legend.frameon': False,
    'svg.hashsalt': 'superpoint_rknn',  # equal inputs give equal files
    'text.parse_math': False,  # names are text, also with a dollar sign
}
WIDTH, ROW = 9.0, 0.33  # [inch] of a chart, and of a layer in it
DPI = 180  # of pictures: no smaller than the heat maps of the default size
OWN, ACCUMULATED, BAD, NOTE, TRACK = '#c2571a', '#2a6fbb', '#b3261e', '#5c5b57', '#e2e1dc'
FIRST, SECOND = '#28a0ff', '#ff8c28'  # keypoints on photographs
LEAST, MOST = 0.1, 100.0  # [%] limits of the error axis
TICKS = (0.1, 0.3, 1, 3, 10, 30, 100)  # [%]
STEPS = 256
BRIGHTEST = 0.3  # detector probability at the upper end of the colour scale


@rc_context(STYLE)
def layer_chart(analysis: Analysis, worst: str | None) -> str:
    """Own and accumulated relative error of each layer at the keypoints, on a log scale."""
    layers = list(analysis.layers.values())
    figure, axes = _layer_axes([layer.name for layer in layers], worst)
    own = [_on_axis(own_error(layer)) for layer in layers]
    accumulated = [_on_axis(layer.accumulated.at_keypoints.relative) for layer in layers]
    rows = np.arange(len(layers))
    axes.hlines(rows, own, accumulated, color=TRACK, linewidth=3, zorder=1)
    for errors, size, color, label in (
        (accumulated, 80, ACCUMULATED, 'accumulated: at its output'),
        (own, 30, OWN, 'own: added by the layer'),
    ):
        axes.scatter(errors, rows, size, color=color, label=label, clip_on=False, zorder=3)
    for row, layer in enumerate(layers):
        place = accumulated[row]
        if math.isnan(place) and math.isnan(own[row]):
            _note(axes, 'no error', LEAST, row)
        elif layer.range is None:
            _note(axes, 'in float', LEAST if math.isnan(place) else place, row)
    axes.set_xscale('log')
    axes.set_xlim(LEAST, MOST)
    axes.set_xticks(TICKS, [f'{tick:g}' for tick in TICKS])
    axes.set_xticks([], minor=True)
    axes.grid(axis='x')
    axes.set_xlabel('relative error at the keypoints [%]')
    ratio = axes.twiny()
    ratio.set_xlim(_sqnr(LEAST), _sqnr(MOST))
    ratio.set_xlabel('SQNR [dB]')
    figure.legend(loc='outside upper center', ncols=2)
    return _svg(figure)


@rc_context(STYLE)
def range_chart(layers: Iterable[LayerErrors], worst: str | None) -> str:
    """Quantization steps that the typical values of each layer span, and the clipped share."""
    uses = {layer.name: layer.range for layer in layers if layer.range is not None}
    figure, axes = _layer_axes(list(uses), worst)
    rows = np.arange(len(uses))
    steps = [STEPS * use.steps_used for use in uses.values()]
    axes.barh(rows, STEPS, color=TRACK, height=0.6)
    axes.barh(rows, steps, color=ACCUMULATED, height=0.6)
    for row, use in enumerate(uses.values()):
        text = f'{round(steps[row])} steps'
        if use.clipped:
            text += f', {percent(use.clipped)} clipped'
        _note(axes, text, STEPS, row, BAD if use.clipped > CLIPPED else NOTE)
    axes.set_xlim(0, STEPS)
    axes.set_xticks(range(0, STEPS + 1, 32))
    axes.set_xlabel(f'quantization steps spanned by 99.8 % of the float values [of {STEPS}]')
    axes.spines['top'].set_visible(False)
    return _svg(figure)


@rc_context(STYLE)
def histogram(cosines: np.ndarray) -> str:
    """Distribution of the cosine similarities of descriptors, (N,), N > 0."""
    figure = Figure((WIDTH, 3.0), layout='constrained')
    axes = figure.add_subplot()
    low = min(0.98, math.floor(50 * float(np.percentile(cosines, 0.5))) / 50)
    axes.hist(np.clip(cosines, low, 1), bins=30, range=(low, 1), color=ACCUMULATED, rwidth=0.9)
    axes.set_xlim(low, 1)
    axes.set_xlabel('cosine similarity of the two descriptors of a keypoint')
    axes.set_ylabel('number of keypoints')
    axes.spines['top'].set_visible(False)
    return _svg(figure)


@rc_context(STYLE)
def picture(comparison: Comparison, names: tuple[str, str]) -> str:
    """Heat maps of two networks, and their keypoints on the image."""
    height, width = comparison.grey.shape
    figure = Figure((WIDTH, 1.5 * WIDTH * height / width), dpi=DPI, layout='compressed')
    grid = figure.add_gridspec(2, 2, height_ratios=(1, 2))
    scale = PowerNorm(0.5, 0, BRIGHTEST)  # makes weak keypoints visible
    heat_axes = [figure.add_subplot(grid[0, i]) for i in range(2)]
    for axes, heat, name in zip(heat_axes, comparison.heat, names, strict=True):
        heat_map = axes.imshow(heat, 'inferno', scale, interpolation='nearest')
        axes.set_title(f'detector probability, {name}', loc='left')
    figure.colorbar(heat_map, ax=heat_axes, extend='max', label='probability')
    image_axes = figure.add_subplot(grid[1, :])
    image_axes.imshow(comparison.grey, 'gray', vmin=0, vmax=255)
    first, second = comparison.keypoints
    image_axes.scatter(
        first.x, first.y, 36, marker='o', facecolors='none', edgecolors=FIRST, label=names[0]
    )
    image_axes.scatter(second.x, second.y, 30, marker='+', color=SECOND, label=names[1])
    image_axes.set_title('keypoints', loc='left')
    image_axes.legend(loc='lower right', bbox_to_anchor=(1, 1), ncols=2, borderaxespad=0.2)
    for axes in (*heat_axes, image_axes):
        axes.set_xlabel('x [px]')
        axes.set_ylabel('y [px]')
        axes.spines[['top', 'right']].set_visible(True)
    return _png(figure)


def _layer_axes(names: list[str], worst: str | None) -> tuple[Figure, Axes]:
    """An empty chart with one row for each layer; the worst one is highlighted."""
    figure = Figure((WIDTH, ROW * len(names) + 1.4), layout='constrained')
    axes = figure.add_subplot()
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylabel('layer')
    for label, name in zip(axes.get_yticklabels(), names, strict=True):
        if name == worst:
            label.set(color=BAD, fontweight='bold')
    return figure, axes


def _note(axes: Axes, text: str, x: float, row: int, color: str = NOTE) -> None:
    axes.annotate(
        text,
        (x, row),
        (8, 0),
        textcoords='offset points',
        va='center',
        color=color,
        annotation_clip=False,
    )


def _on_axis(error: float | None) -> float:
    """Relative error in percent, clamped to the axis; NaN, which is not drawn, for 0 and None."""
    return min(max(100 * error, LEAST), MOST) if error else math.nan


def _sqnr(error: float) -> float:
    """Signal-to-quantization-noise ratio [dB] of a relative error [%]."""
    return -20 * math.log10(error / 100)


def _svg(figure: Figure) -> str:
    file = io.BytesIO()
    figure.savefig(file, format='svg', metadata={'Date': None})
    return _data_uri('image/svg+xml', file.getvalue())


def _png(figure: Figure) -> str:
    file = io.BytesIO()
    figure.savefig(file, format='png', metadata={'Software': None})
    return _data_uri('image/png', file.getvalue())


def _data_uri(kind: str, content: bytes) -> str:
    return f'data:{kind};base64,{base64.b64encode(content).decode("ascii")}'
