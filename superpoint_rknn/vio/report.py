"""Results of all rows of a recording: for the --json file, and as a table for the terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from superpoint_rknn.evaluate.rooms.truth import share_of_far_observations
from superpoint_rknn.vio.errors import Errors
from superpoint_rknn.vio.front_end import CORNERS, TrackHistory
from superpoint_rknn.vio.recordings import Recording
from superpoint_rknn.vio.runs import Run
from superpoint_rknn.vio.statistics import median_and_interval

COLUMNS = {
    'ate_m': ('ATE [cm]', 100, 2),
    'rpe_m': ('RPE [cm]', 100, 2),
    'yaw_drift_deg': ('yaw [deg]', 1, 2),
    'init_s': ('init [s]', 1, 2),
    'failed': ('failed', 1, 0),
    'mean_tracks': ('tracks', 1, 0),
    'far_share': ('> 3 px [%]', 100, 1),
    'tracker_ms': ('CPU [ms]', 1, 1),
}
WIDTH = 14  # characters of a column

Runs = Sequence[Sequence[Run]]  # of one row: by start, then by seed


def row_of(name: str, recording: Recording, history: TrackHistory, runs: Runs) -> dict:
    """
    Medians over all runs of a row; None where unknown, or where half of the runs have failed.

    ate_interval_m: 95 % interval of the median. failed: runs without a start, or in which the
    motion was lost. far_share: of observations more than 3 px from the truth.
    """
    flat = [run for same_start in runs for run in same_start]
    ate, interval = median_and_interval(errors(runs, ate_of))
    rpe, _ = median_and_interval(errors(runs, lambda found: found.rpe_m))
    yaw, _ = median_and_interval(errors(runs, lambda found: found.yaw_drift_deg))
    inits = [[np.inf if r.init_s is None else r.init_s for r in same] for same in runs]
    sequence = recording.sequence
    return {
        'name': name,
        'ate_m': ate,
        'ate_interval_m': None if recording.truth is None else interval,
        'rpe_m': rpe,
        'yaw_drift_deg': yaw,
        'init_s': median_and_interval(np.array(inits))[0],
        'failed': sum(run.init_s is None or run.restarts > 0 for run in flat),
        'mean_tracks': history.mean_tracks,
        'far_share': None
        if sequence is None
        else share_of_far_observations(sequence, history.points),
        'tracker_ms': float(np.median(history.cpu_ms)),
        'runs': [
            {
                'start_s': run.start_s,
                'seed': run.seed,
                'init_s': run.init_s,
                'restarts': run.restarts,
                'ate_m': None if run.errors is None else run.errors.ate_m,
            }
            for run in flat
        ],
    }


def ate_of(found: Errors) -> float:
    """Absolute trajectory error [m]."""
    return found.ate_m


def errors(runs: Runs, error_of: Callable[[Errors], float]) -> np.ndarray:
    """Values of one error, (starts, seeds); infinite for runs that have failed."""
    return np.array(
        [
            [np.inf if run.errors is None else error_of(run.errors) for run in same_start]
            for same_start in runs
        ]
    )


def difference_to_corners(runs: dict[str, Runs]) -> dict[str, dict]:
    """Median difference of the ATE to that of corners, run by run, and its interval, by row."""
    if CORNERS not in runs:
        return {}
    reference = errors(runs[CORNERS], ate_of)
    found = {}
    for name, own in runs.items():
        values = errors(own, ate_of)
        both_failed = np.isinf(values) & np.isinf(reference)
        with np.errstate(invalid='ignore'):
            difference = np.where(both_failed, 0.0, values - reference)
        if name != CORNERS:
            median, interval = median_and_interval(difference)
            found[name] = {'ate_minus_corners_m': median, 'interval_m': interval}
    return found


def table(entry: dict) -> str:
    """Table of one recording."""
    lines = [
        f'{entry["name"]}, {entry["seconds"]:.0f} s: {entry["starts"]} starts of '
        f'{entry["run_seconds"]:.0f} s, {entry["seeds"]} IMU seeds; medians',
        ' ' * 18 + ''.join(f'{title:>{WIDTH}}' for title, _, _ in COLUMNS.values()),
    ]
    for row in entry['rows']:
        cells = (_number(row[key], scale, digits) for key, (_, scale, digits) in COLUMNS.items())
        lines.append(f'{row["name"]:18}' + ''.join(f'{cell:>{WIDTH}}' for cell in cells))
        if row['ate_interval_m'] is not None:
            lines.append(f'{"":18}{_interval(row["ate_interval_m"]):>{WIDTH}}')
    for name, value in entry['differences'].items():
        if value['interval_m'] is not None:
            lines.append(
                f'{name} - {CORNERS}: {_number(value["ate_minus_corners_m"], 100, 2)} '
                f'({_interval(value["interval_m"])}) cm'
            )
    return '\n'.join(lines)


def _number(value: float | None, scale: float, digits: int) -> str:
    return '-' if value is None else f'{value * scale:.{digits}f}'


def _interval(ends: list[float | None]) -> str:
    return ' to '.join('failed' if end is None else f'{100 * end:.2f}' for end in ends)
