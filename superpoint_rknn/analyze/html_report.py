"""The report of an analysis as one HTML file without external resources."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from superpoint_rknn.analyze.analysis import DESCRIPTOR_LAYER, LOGIT_LAYER, Analysis
from superpoint_rknn.analyze.board import BoardAnalysis
from superpoint_rknn.analyze.charts import histogram, layer_chart, picture, range_chart
from superpoint_rknn.analyze.diagnosis import (
    Finding,
    diagnose,
    own_error,
    percent,
    weights_error,
    worst_layer,
)
from superpoint_rknn.analyze.layer_errors import LayerErrors
from superpoint_rknn.analyze.output_errors import OutputErrors

COLUMNS = {
    'own': 'relative error that the layer adds, at the keypoints',
    'accumulated': 'relative error at its output, at the keypoints',
    'cosine': 'cosine similarity at its output, at the keypoints',
    'whole map': 'accumulated relative error over the whole tensor',
    'weights': 'relative error by 8-bit weights alone',
    'rounding': 'relative error by 8-bit outputs alone',
    'best': 'rounding error with a good range',
    'logits': 'change of the logits if only this layer computes in 8 bits',
    'descriptors': 'change of the descriptors if only this layer computes in 8 bits',
}


class OutputsSection(NamedTuple):
    """Descriptors and keypoints of two networks; the charts are `data:` URIs."""

    names: tuple[str, str]
    histogram: str | None  # None without keypoints
    pictures: list[tuple[str, str]]  # name of the image, picture


class Section(NamedTuple):
    """One analysis; the charts are `data:` URIs."""

    title: str
    figures: list[tuple[str, str]]  # name, value
    findings: list[Finding]
    layer_chart: str
    range_chart: str
    rows: dict[str, list[str]]  # cells of the table by layer
    worst: str | None
    outputs: OutputsSection


def html_report(
    analyses: list[Analysis],
    board: BoardAnalysis | None,
    subtitle: str,
    made_from: list[tuple[str, str]],
) -> str:
    """
    Render the report.

    subtitle: below the heading. made_from: name and value of each input of the analysis.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,  # names of images, files and models are untrusted
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters['keep_units'] = _keep_units
    return environment.get_template('report.html').render(
        analyses=[_section(analysis) for analysis in analyses],
        board=board,
        board_comparisons=[
            (names, _figures(errors)) for names, errors in board.comparisons.items()
        ]
        if board
        else [],
        board_within_one_step=percent(board.within_one_step) if board else '-',
        board_outputs=_outputs_section(*next(iter(board.comparisons.items()))) if board else None,
        columns=COLUMNS,
        subtitle=subtitle,
        made_from=made_from,
    )


def _section(analysis: Analysis) -> Section:
    worst = worst_layer(analysis)
    return Section(
        analysis.title,
        _figures(analysis.outputs),
        diagnose(analysis),
        layer_chart(analysis, worst),
        range_chart(analysis.layers.values(), worst),
        {name: _cells(layer, analysis) for name, layer in analysis.layers.items()},
        worst,
        _outputs_section(('float', '8 bits'), analysis.outputs),
    )


def _figures(outputs: OutputErrors) -> list[tuple[str, str]]:
    figures = outputs.summary()
    return [
        ('descriptor cosine similarity, mean', _cosine(figures['descriptor_cosine_mean'])),
        ('descriptor cosine similarity, 5th percentile', _cosine(figures['descriptor_cosine_p5'])),
        ('keypoints within 1 px', percent(figures['keypoints_within_1px'])),
    ]


def _outputs_section(names: tuple[str, str], outputs: OutputErrors) -> OutputsSection:
    if not outputs.cosines.size:
        return OutputsSection(names, None, [])
    pictures = [(c.name, picture(c, names)) for c in outputs.comparisons]
    return OutputsSection(names, histogram(outputs.cosines), pictures)


def _cells(layer: LayerErrors, analysis: Analysis) -> list[str]:
    """Cells of a layer in the table, in the order of COLUMNS."""
    best = layer.range.best() if layer.range else None
    return [
        percent(own_error(layer)) if layer.range else '-',
        percent(layer.accumulated.at_keypoints.relative),
        _cosine(layer.accumulated.at_keypoints.cosine),
        percent(layer.accumulated.everywhere.relative),
        percent(weights_error(layer)),
        percent(layer.rounding.everywhere.relative),
        percent(best.error if best else None),
        percent(analysis.effect(layer.name, LOGIT_LAYER)),
        percent(analysis.effect(layer.name, DESCRIPTOR_LAYER)),
    ]


def _cosine(value: float | None) -> str:
    return '-' if value is None else f'{value:.4f}'


def _keep_units(text: str) -> str:
    """Replace the space before a percent sign by a no-break space."""
    return text.replace(' %', '\N{NO-BREAK SPACE}%')
