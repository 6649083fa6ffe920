"""Judgement of a report: each point passed or failed, and what a failure means."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from superpoint_rknn.board_report.model_points import model_points
from superpoint_rknn.board_report.points import FAIL, PASS, SKIP, WARN, Point, machine_points

MIN_CLOCK = 0.9  # share of the highest frequency
MAX_TEMPERATURE = 85.0  # [degrees Celsius], above which most of these chips reduce their clocks
MAX_PASS_THROUGH_MS = 5.0  # the article: 1 ms; an uncached buffer: 15 ms


def judge(report: dict[str, Any]) -> list[Point]:
    """
    Return all points of a report that `schema.validate` accepts.

    Every status is computed from the figures: a report states none.
    """
    points = list(machine_points(report))
    for model in report['models']:
        for point in (*model_points(model, report), *_time_points(model)):
            points.append(point._replace(name=f'{model["file"]}: {point.name}'))
    return points


def passed(points: list[Point]) -> bool:
    """Return True if no point failed."""
    return all(point.status != FAIL for point in points)


def _time_points(model: dict[str, Any]) -> Iterator[Point]:
    if not model['times']:
        return
    times = {row['name']: row['median_ms'] for row in model['times']}
    passed_ms, height, width = times.get('inputs_set_pass_through'), 400, 640
    if model['runtime']:
        height, width = model['runtime']['tensors'][0]['shape'][2:]
    limit = MAX_PASS_THROUGH_MS * height * width / (400 * 640)
    if passed_ms is not None and passed_ms > limit:
        yield Point(
            'input path',
            FAIL,
            f'inputs_set with pass-through takes {passed_ms:g} ms, expected at most {limit:.3g}',
            'Slow input path: the library converts or the memory is uncached. See docs/boards.md.',
        )
    elif passed_ms is not None:
        yield Point('input path', PASS, f'inputs_set with pass-through takes {passed_ms:g} ms')
    state = model['state']
    if state is None:
        return
    slow = [
        f'{kind.upper()} at {state[f"{kind}_mhz"]:g} of {state[f"{kind}_max_mhz"]:g} MHz '
        f'(governor {state[f"{kind}_governor"] or "unknown"})'
        for kind in ('cpu', 'npu')
        if state[f'{kind}_mhz'] and state[f'{kind}_max_mhz']
        if state[f'{kind}_mhz'] < MIN_CLOCK * state[f'{kind}_max_mhz']
    ]
    if (state['temperature_c'] or 0) > MAX_TEMPERATURE:
        slow.append(f'{state["temperature_c"]:g} degrees Celsius')
    if slow:
        yield Point(
            'clocks',
            WARN,
            '; '.join(slow),
            'Clocks too low: the times are not those of the chip. Set the governor performance '
            '(docs/boards.md) and cool the board.',
        )
    elif state['cpu_mhz'] or state['npu_mhz']:
        yield Point('clocks', PASS, 'CPU and NPU at their highest frequency, as far as stated')
    else:
        yield Point('clocks', SKIP, 'the kernel states none')
