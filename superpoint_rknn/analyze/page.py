"""The report of an analysis: one HTML page that needs nothing from outside."""

from __future__ import annotations

from html import escape

from superpoint_rknn.analyze.advice import (
    Finding,
    findings,
    own_error,
    percent,
    weights_error,
    worst_layer,
)
from superpoint_rknn.analyze.analysis import Analysis
from superpoint_rknn.analyze.board import BoardAnalysis
from superpoint_rknn.analyze.charts import (
    heat_picture,
    histogram,
    keypoint_picture,
    layer_chart,
    range_chart,
)
from superpoint_rknn.analyze.layer_errors import Deviation, LayerErrors
from superpoint_rknn.analyze.output_errors import Comparison, OutputErrors
from superpoint_rknn.analyze.style import STYLE

COLUMNS = (
    ('layer', 'layer'),
    ('own', 'error that the layer adds by itself, at the keypoints'),
    ('accumulated', 'error at its output with all that came before, at the keypoints'),
    ('cosine', 'of the same, at the keypoints'),
    ('whole map', 'accumulated error over the whole tensor'),
    ('weights', 'error by 8-bit weights alone'),
    ('rounding', 'error by the 8 bits of its output alone'),
    ('best', 'what rounding would cost with a good range'),
    ('logits', "the detector's change if this layer alone is in 8 bits"),
    ('descriptors', "the descriptors' change if this layer alone is in 8 bits"),
)


def page(
    analyses: list[Analysis], board: BoardAnalysis | None, provenance: list[tuple[str, str]]
) -> str:
    """
    The report as HTML.

    provenance: name and value of what the report was made from.
    """
    origin = ''.join(f'<dt>{escape(k)}</dt><dd>{escape(v)}</dd>' for k, v in provenance)
    body = (_board(board) if board else '') + ''.join(_analysis(analysis) for analysis in analyses)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>SuperPoint in 8 bits</title><style>{STYLE}</style></head><body><main>'
        f'<h1>SuperPoint in 8 bits: what was lost, and where</h1>{body}'
        f'<section><h2>Made from</h2><dl>{origin}</dl></section></main></body></html>\n'
    )


def _analysis(analysis: Analysis) -> str:
    worst = worst_layer(analysis)
    return (
        f'<section><h2>{escape(analysis.title)}</h2>'
        f'{_tiles(analysis.outputs)}{_finding_list(findings(analysis))}</section>'
        '<section><h3>Error of every layer</h3><p class="legend"><span class="own">●</span> what '
        'the layer adds by itself &emsp;<span class="accumulated">●</span> accumulated up to it'
        '<br>Relative error at the keypoints; the scale is logarithmic.</p>'
        f'{layer_chart(analysis, worst)}</section>'
        '<section><h3>Use of the 256 steps</h3><p class="legend">Bar: steps between which 99.8 % '
        'of the float values lie. Clipped: values outside of the range.</p>'
        f'{range_chart(analysis.layers.values(), worst)}</section>'
        f'<section><h3>All figures</h3>{_table(analysis, worst)}</section>'
        f'{_outputs_section(analysis.outputs, ("float", "8 bits"))}'
    )


def _board(board: BoardAnalysis) -> str:
    record = board.record
    head = (
        f'<section><h2>On the board</h2><p class="legend">{escape(record.engine)}, '
        f'{escape(record.model)}</p>{_finding_list(board.findings)}'
    )
    if board.within_one_step is not None:
        head += (
            f'<p>{percent(board.within_one_step)} of the descriptor values are within one of the '
            "board's 8-bit steps of the PC's 8-bit network.</p>"
        )
    parts = [
        f'<h3>{escape(true)} against {escape(other)}</h3>{_tiles(errors)}'
        for (true, other), errors in board.comparisons.items()
    ]
    names, errors = next(iter(board.comparisons.items()))
    return f'{head}{"".join(parts)}</section>{_outputs_section(errors, names)}'


def _tiles(outputs: OutputErrors) -> str:
    """The outcome in three figures."""
    figures = outputs.summary()
    cosine, low = figures['descriptor_cosine_mean'], figures['descriptor_cosine_p5']
    shown = (
        ('descriptor cosine, mean', _cosine(cosine)),
        ('descriptor cosine, 5th percentile', _cosine(low)),
        ('keypoints within 1 px', percent(figures['keypoints_within_1px'])),
    )
    cells = ''.join(f'<div><b>{value}</b><span>{name}</span></div>' for name, value in shown)
    return f'<div class="tiles">{cells}</div>'


def _finding_list(found: list[Finding]) -> str:
    """What stands out, and what to try."""
    items = []
    for finding in found:
        advice = ''.join(f'<li>{_words(text)}</li>' for text in finding.advice)
        if advice:
            advice = f'<p class="try">What to try</p><ul>{advice}</ul>'
        items.append(
            f'<div class="finding {escape(finding.kind)}"><p>{_words(finding.text)}</p>'
            f'{advice}</div>'
        )
    return ''.join(items)


def _outputs_section(outputs: OutputErrors, names: tuple[str, str]) -> str:
    """Descriptors, heat maps and keypoints of two networks."""
    if not outputs.cosines.size:
        return '<section><p>No keypoints were found in these images.</p></section>'
    pictures = ''.join(_pictures(c, names) for c in outputs.comparisons)
    return (
        f'<section><h3>Descriptors: {escape(names[0])} against {escape(names[1])}</h3>'
        '<p class="legend">Number of keypoints by the cosine of their two descriptors; 1 is '
        f'equal.</p>{histogram(outputs.cosines)}</section>'
        f'<section><h3>Heat maps and keypoints</h3>{pictures}</section>'
    )


def _pictures(comparison: Comparison, names: tuple[str, str]) -> str:
    first, second = (
        f'<figure><img alt="heat map" src="{heat_picture(heat)}"><figcaption>{escape(name)}'
        '</figcaption></figure>'
        for heat, name in zip(comparison.heat, names, strict=True)
    )
    return (
        f'<h4>{escape(comparison.name)}</h4><div class="pair">{first}{second}</div><figure>'
        f'<img alt="keypoints" src="{keypoint_picture(comparison.grey, comparison.keypoints)}">'
        f'<figcaption><span class="circle">○</span> {escape(names[0])} &emsp;'
        f'<span class="cross">+</span> {escape(names[1])}</figcaption></figure>'
    )


def _table(analysis: Analysis, worst: str | None) -> str:
    head = ''.join(f'<th title="{escape(title)}">{name}</th>' for name, title in COLUMNS)
    rows = []
    for name, layer in analysis.layers.items():
        cells = ''.join(
            f'<td>{cell}</td>' for cell in _layer_row(layer, analysis.effects.get(name))
        )
        kind = ' class="worst"' if name == worst else ''
        rows.append(f'<tr{kind}><th>{escape(name)}</th>{cells}</tr>')
    notes = ''.join(f'<dt>{name}</dt><dd>{escape(title)}</dd>' for name, title in COLUMNS[1:])
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f'<tbody>{"".join(rows)}</tbody></table></div>'
        f'<details><summary>What the columns mean</summary><dl>{notes}</dl></details>'
    )


def _layer_row(layer: LayerErrors, effects: dict[str, Deviation] | None) -> list[str]:
    """A layer's cells of the table, all but its name."""
    best = layer.best_range()
    logits, descriptors = (effects or {}).get('convPb'), (effects or {}).get('convDb')
    return [
        percent(own_error(layer)) if layer.quantization else '-',
        percent(layer.accumulated.at_keypoints.relative),
        _cosine(layer.accumulated.at_keypoints.cosine),
        percent(layer.accumulated.everywhere.relative),
        percent(weights_error(layer)),
        percent(layer.rounding.everywhere.relative),
        percent(best and best[2]),
        percent(logits and logits.relative),
        percent(descriptors and descriptors.relative),
    ]


def _words(text: str) -> str:
    """Text as HTML, its percentages in one piece."""
    return escape(text).replace(' %', '&nbsp;%')


def _cosine(value: float | None) -> str:
    return '-' if value is None else f'{value:.4f}'
