"""Plots of a recording: trajectories from above, and the errors of all runs."""

from __future__ import annotations

import io

import numpy as np
from matplotlib.figure import Figure

from superpoint_rknn.vio.report import Runs, ate_of, errors
from superpoint_rknn.vio.runs import Run


def plot(name: str, runs: dict[str, Runs], truth: np.ndarray) -> bytes:
    """
    PNG with the trajectory of the median run of each row, and the ATE of all runs.

    truth: (N, 8) rows of a TUM file.
    """
    figure = Figure(figsize=(11, 5), layout='constrained')
    above, ate = figure.subplots(1, 2)
    above.plot(truth[:, 1], truth[:, 2], color='black', linewidth=1, label='truth')
    for index, (row, own) in enumerate(runs.items()):
        colour = f'C{index}'
        values = 100 * errors(own, ate_of).ravel()
        median = median_run(own)
        if median is not None and median.errors is not None:
            estimate = median.errors.estimate
            above.plot(estimate[:, 1], estimate[:, 2], color=colour, linewidth=1, label=row)
        finite = values[np.isfinite(values)]
        spread = np.linspace(-0.2, 0.2, len(finite))
        ate.plot(index + spread, np.sort(finite), '.', color=colour)
        if len(finite) < len(values):
            ate.annotate(
                f'{len(values) - len(finite)} failed',
                (index, 1),
                xycoords=('data', 'axes fraction'),
                ha='center',
                va='top',
            )
    above.set(title=f'{name}, from above', xlabel='x [m]', ylabel='y [m]', aspect='equal')
    above.legend()
    ate.set(title='ATE of all runs, sorted', ylabel='[cm]', yscale='log')
    ate.set_xticks(range(len(runs)), list(runs))
    ate.grid(axis='y', which='both', alpha=0.3)
    content = io.BytesIO()
    figure.savefig(content, format='png', dpi=100)
    return content.getvalue()


def median_run(runs: Runs) -> Run | None:
    """Return the run with the median ATE; None if it has failed."""
    flat = [run for same_start in runs for run in same_start]
    flat.sort(key=lambda run: np.inf if run.errors is None else run.errors.ate_m)
    middle = flat[(len(flat) - 1) // 2]
    return None if middle.errors is None else middle
