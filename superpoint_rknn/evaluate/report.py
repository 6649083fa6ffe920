"""Results of an evaluation as a table for the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

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
STEREO_COLUMNS = {
    'mma3': 'MMA@3',
    'median_error': 'median err.',
    'known': 'known',
    'matches': 'matches',
    'points': 'points',
}
POSE_COLUMNS = {
    'auc5': 'AUC@5 deg',
    'auc10': 'AUC@10 deg',
    'auc20': 'AUC@20 deg',
    'pose_error': 'error [deg]',
    'precision': 'precision@2',
    'epipolar_error': 'epip. err.',
    'inliers': 'inliers',
    'matches': 'matches',
    'points': 'points',
}
WIDTH = 13  # characters of a column


def table(report: dict) -> str:
    """Results of all rows with 95 % intervals, the real pairs, and 8 bits against float."""
    names = [row['name'] for row in report['rows']]
    margin = max(map(len, names)) + 2
    lines = [
        f'{report["pairs"]} pairs of {len(report["scenes"])} scenes; below: 95 % intervals',
        _titles(COLUMNS, margin),
    ]
    for row in report['rows']:
        lines.append(_line(row, COLUMNS, margin))
        intervals = row['intervals']
        lines.append(' ' * margin + ''.join(_interval(intervals[c], c) for c in COLUMNS))
    if report['real']:
        lines.append(f'{report["real"]["name"]}, one real pair')
        lines += [_line(row, COLUMNS, margin) for row in report['real']['rows']]
    for pair in report['stereo']:
        lines.append(f'{pair["name"]}, a real stereo pair')
        lines.append(_titles(STEREO_COLUMNS, margin))
        lines += [_line(row, STEREO_COLUMNS, margin) for row in pair['rows']]
    for entry in report['differences']:
        parts = [_difference(metric, value) for metric, value in entry['metrics'].items()]
        lines.append(f'{entry["name"]} - {entry["reference"]}: {", ".join(parts)}')
    return '\n'.join(lines)


def kinds_table(report: dict) -> str:
    """Results of all rows by kind of change."""
    margin = max(len(row['name']) for kind in report['kinds'] for row in kind['rows']) + 2
    lines = []
    for kind in report['kinds']:
        lines.append(f'{kind["name"]}, {kind["pairs"]} pairs')
        lines.append(_titles(COLUMNS, margin))
        lines += [_line(row, COLUMNS, margin) for row in kind['rows']]
    return '\n'.join(lines)


def posed_table(report: dict) -> str:
    """Results of all rows on pairs with known poses."""
    margin = max(len(row['name']) for row in report['rows']) + 2
    lines = [f'{report["pairs"]} pairs with known poses', _titles(POSE_COLUMNS, margin)]
    return '\n'.join([*lines, *(_line(row, POSE_COLUMNS, margin) for row in report['rows'])])


def _titles(columns: Mapping[str, str], margin: int) -> str:
    return ' ' * margin + ''.join(f'{title:>{WIDTH}}' for title in columns.values())


def _line(row: Mapping, columns: Iterable[str], margin: int) -> str:
    return f'{row["name"]:{margin}}' + ''.join(_cell(row[column], column) for column in columns)


def _digits(metric: str) -> int:
    digits = {'points': 0, 'matches': 0, 'known': 0, 'inliers': 0, 'localization_error': 2}
    return digits.get(metric, 3)


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
