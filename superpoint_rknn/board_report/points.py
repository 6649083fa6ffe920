"""A checked point, and the points of the machine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

PASS, WARN, FAIL, SKIP = 'pass', 'warn', 'fail', 'skip'
GENERATION_1 = ('rv1126', 'rv1109', 'rk1808', 'rk1806')


class Point(NamedTuple):
    """One checked point."""

    name: str
    status: str  # PASS, WARN, FAIL or SKIP
    finding: str
    meaning: str = ''  # of a failure or warning, and what to do


def machine_points(report: dict[str, Any]) -> Iterator[Point]:
    """Yield the points of the board, its library and its driver."""
    board = report['board']
    soc = board['soc']
    if soc is None:
        yield Point(
            'board', FAIL, 'no Rockchip chip', 'The report is not from a board: it proves nothing.'
        )
    else:
        yield Point('board', PASS, f'{board["model"] or "unknown board"}, {soc}')
        yield _library_point(board, soc)
        yield (
            Point('NPU driver', PASS, board['npu_driver'])
            if board['npu_driver']
            else Point(
                'NPU driver',
                WARN,
                'its version cannot be read',
                'Run as root, or load the driver.',
            )
        )
    if report['blocked']:
        yield Point(
            'completed',
            FAIL,
            f'stopped at: {report["blocked"]}',
            'The library did not return, or crashed: see dmesg, then reboot or reload the NPU '
            'driver. If loading takes longer (RV1126), pre-compile the model or raise --timeout.',
        )
    else:
        yield Point('completed', PASS, 'all measurements returned')


def _library_point(board: dict[str, Any], soc: str) -> Point:
    expected = 1 if soc in GENERATION_1 else 2
    name = 'librknn_api.so' if expected == 1 else 'librknnrt.so'
    usable = [library for library in board['libraries'] if library['generation']]
    first = usable[0] if usable else None
    if first is None:
        return Point('library', FAIL, 'none is usable', f"Install the board vendor's {name}.")
    found = f'{first["file"]}, generation {first["generation"]}, {first["version"] or "unknown"}'
    if first['generation'] != expected:
        return Point(
            'library',
            FAIL,
            found,
            f'Wrong library generation: {soc} needs generation {expected}, {name}. '
            'Remove the other one, or put it behind in the search path of the loader.',
        )
    return Point('library', PASS, found)
