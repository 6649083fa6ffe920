"""A report as Markdown for an issue, and the table of all boards."""

from __future__ import annotations

import re
from typing import Any

from superpoint_rknn.board_report.judge import judge
from superpoint_rknn.board_report.points import FAIL, PASS, Point
from superpoint_rknn.board_report.times import ROWS

STATE = {  # fields of the state, two for a value and its highest one
    'CPU clock [MHz]': ('cpu_mhz', 'cpu_max_mhz'),
    'CPU governor': ('cpu_governor',),
    'NPU clock [MHz]': ('npu_mhz', 'npu_max_mhz'),
    'NPU governor': ('npu_governor',),
    'temperature [°C]': ('temperature_c',),
    'memory available, total [MB]': ('memory_available_mb', 'memory_mb'),
}
INDEX_ROWS = ('inputs_set_pass_through', 'run', 'outputs_raw_descriptors', 'inference_copy')


def markdown(report: dict[str, Any]) -> str:
    """Return the text of an issue, below GitHub's limit of 65536 characters."""
    board, system = report['board'], report['system']
    points = judge(report)
    lines = [
        f'# Board report: {_cell(board["model"] or "unknown board")}, '
        f'{_cell(board["soc"] or "no Rockchip chip")}',
        '',
        f'superpoint_rknn {_cell(system["superpoint_rknn"])}, {_cell(report["date"])}. '
        f'{summary(points)}.',
        'The figures are those of the reporter: the project itself has measured no board.',
        '',
        '## Points',
        '',
        *_table(
            ('point', 'result', 'finding', 'meaning'),
            [(point.name, _result(point), point.finding, point.meaning) for point in points],
        ),
        '',
        "## The article's table",
        '',
        'Medians and 95th percentiles. The article measured an RV1126 at 640x400.',
        '',
        *_table(('step', 'median [ms]', '95 % [ms]', 'calls', 'article [ms]'), _time_rows(report)),
        '',
        '## Machine',
        '',
        *_table(('', 'at the start', 'under load'), _state_rows(report)),
        '',
        *_table(('', ''), _machine_rows(report)),
        '',
    ]
    return '\n'.join(lines)


def console(points: list[Point]) -> str:
    """Return a line for each point, and one for what a failure means."""
    lines = []
    for point in points:
        lines.append(f'{point.status:5} {point.name}: {point.finding}')
        if point.meaning and point.status != PASS:
            lines.append(f'      {point.meaning}')
    return '\n'.join([*lines, summary(points)])


def summary(points: list[Point]) -> str:
    """Return the numbers of points that passed and failed."""
    counts = {status: sum(point.status == status for point in points) for status in (PASS, FAIL)}
    others = len(points) - sum(counts.values())
    return f'{counts[PASS]} points passed, {counts[FAIL]} failed, {others} warnings or skipped'


def index(reports: dict[str, dict[str, Any]]) -> str:
    """Return a table of boards, a row for each report by its file name."""
    rows = []
    for name, report in sorted(reports.items()):
        board, points = report['board'], judge(report)
        times = _medians(report)
        failed = sorted({point.name for point in points if point.status == FAIL})
        rows.append(
            (
                name,
                board['model'] or 'unknown',
                board['soc'] or '-',
                next((m['runtime']['engine'] for m in report['models'] if m['runtime']), '-'),
                *(_milliseconds(times.get(row)) for row in INDEX_ROWS),
                '; '.join(failed) or 'none',
            )
        )
    columns = ('report', 'board', 'chip', 'library')
    steps = tuple(f'{ROWS[row].text} [ms]' for row in INDEX_ROWS)
    return '\n'.join(_table((*columns, *steps, 'failed points'), rows))


def _medians(report: dict[str, Any]) -> dict[str, float]:
    rows = [*report['host_times']]
    for model in report['models'][:1]:
        rows += model['times']
    return {row['name']: row['median_ms'] for row in rows}


def _time_rows(report: dict[str, Any]) -> list[tuple[str, ...]]:
    """One row for each of ROWS, in their order; core masks only where they were measured."""
    measured = {row['name']: row for row in report['host_times']}
    for model in report['models'][:1]:
        measured |= {row['name']: row for row in model['times']}
    rows: list[tuple[str, ...]] = []
    for name, row in ROWS.items():
        times = measured.get(name)
        if times is None and name.startswith('run_core_mask'):
            continue
        article = '' if row.article_ms is None else f'{row.article_ms:g}'
        if times is None:
            rows.append((row.text, 'not measured', '', '', article))
        elif times['median_ms'] is None:
            rows.append((row.text, f'not measured: {times["reason"]}', '', '', article))
        else:
            median, p95 = _milliseconds(times['median_ms']), _milliseconds(times['p95_ms'])
            rows.append((row.text, median, p95, str(times['calls']), article))
    return rows


def _state_rows(report: dict[str, Any]) -> list[tuple[str, ...]]:
    loaded = next((m['state'] for m in report['models'] if m['state']), None)
    rows: list[tuple[str, ...]] = []
    for label, fields in STATE.items():
        texts = []
        for state in (report['state'], loaded):
            values = [state[field] if state else None for field in fields]
            known = any(value is not None for value in values)
            texts.append(' of '.join(_known(v) for v in values) if known else 'unknown')
        rows.append((label, *texts))
    return rows


def _machine_rows(report: dict[str, Any]) -> list[tuple[str, ...]]:
    system, board = report['system'], report['board']
    rows = [(name, str(value)) for name, value in system.items()]
    rows.append(('NPU driver', board['npu_driver'] or 'unknown'))
    rows.append(('rknnlite', str(board['rknnlite'])))
    for library in board['libraries']:
        usable = f'generation {library["generation"]}, version {library["version"] or "unknown"}'
        rows.append((f'library {library["file"]}', library['reason'] or usable))
    for model in report['models']:
        rows.append((f'model {model["file"]}', f'SHA-256 {model["sha256"]}'))
        if model['runtime']:
            rows.append((f'input table of {model["file"]}', model['runtime']['input_table']))
    return rows + [('advice of doctor', text) for text in report['advice']]


def _table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    lines = [header, ('---',) * len(header), *([_cell(c) for c in row] for row in rows)]
    return [f'| {" | ".join(line)} |' for line in lines]


def _cell(text: str) -> str:
    """Escape what Markdown or HTML would interpret."""
    text = text.replace('&', '&amp;').replace('<', '&lt;')
    return re.sub(r'([\\`*_\[\]|~#!])', r'\\\1', text).replace('@', '&#64;')


def _result(point: Point) -> str:
    return point.status if point.status == PASS else point.status.upper()


def _known(value: float | str | None) -> str:
    return '?' if value is None else value if isinstance(value, str) else f'{value:g}'


def _milliseconds(value: float | None) -> str:
    return '-' if value is None else f'{value:.3g}' if value < 1000 else f'{value:.0f}'
