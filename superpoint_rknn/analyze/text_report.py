"""The report of an analysis as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from superpoint_rknn.analyze.analysis import Analysis
from superpoint_rknn.analyze.board import BoardAnalysis
from superpoint_rknn.analyze.diagnosis import (
    Finding,
    diagnose,
    own_error,
    percent,
    worst_layer,
)
from superpoint_rknn.analyze.output_errors import OutputErrors

HEAD = ('layer', 'own', 'accumulated', 'cosine', 'steps', 'clipped')
ROW = '{:8} {:>8} {:>12} {:>8} {:>6} {:>8}'


def text_report(analyses: Iterable[Analysis], board: BoardAnalysis | None) -> str:
    """Tables and findings."""
    lines = []
    for analysis in analyses:
        lines += [*_table(analysis), _outputs(analysis.outputs), *_list(diagnose(analysis)), '']
    if board:
        lines.append(f'{board.record.engine}, {board.record.model}')
        for (reference, other), errors in board.comparisons.items():
            lines.append(f'{other} against {reference}: {_outputs(errors)}')
        lines += [*_list(board.findings), '']
    return '\n'.join(lines).rstrip()


def _table(analysis: Analysis) -> Iterator[str]:
    yield f'{analysis.title}: relative errors and cosine similarity at the keypoints'
    yield ROW.format(*HEAD)
    worst = worst_layer(analysis)
    for name, layer in analysis.layers.items():
        at_keypoints = layer.accumulated.at_keypoints
        row = ROW.format(
            name,
            percent(own_error(layer)) if layer.range else 'float',
            percent(at_keypoints.relative),
            '-' if at_keypoints.cosine is None else f'{at_keypoints.cosine:.4f}',
            round(256 * layer.range.steps_used) if layer.range else '-',
            percent(layer.range.clipped if layer.range else None),
        )
        yield f'{row}  <- worst' if name == worst else row


def _outputs(errors: OutputErrors) -> str:
    figures = errors.summary()
    if not figures['keypoints']:
        return 'no keypoints were found'
    return (
        f'descriptor cosine {figures["descriptor_cosine_mean"]:.4f} (5th percentile '
        f'{figures["descriptor_cosine_p5"]:.4f}), {percent(figures["keypoints_within_1px"])} of '
        f'{figures["keypoints"]} keypoints within 1 px'
    )


def _list(found: Iterable[Finding]) -> Iterator[str]:
    for finding in found:
        yield f'* {finding.text}'
        yield from (f'  - {text}' for text in finding.advice)
