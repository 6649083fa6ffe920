"""Results of an evaluation as a table for the terminal."""

from __future__ import annotations

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
WIDTH = 13  # characters of a column


def table(report: dict) -> str:
    """Results of all rows with 95 % intervals, the real pair, and 8 bits against float."""
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
