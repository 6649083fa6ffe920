"""Summary of a run of `./dev vio`: errors of the trajectory, a plot, and checks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from superpoint_rknn.evaluate.rooms.sequences import RenderedSequence
from superpoint_rknn.vio.errors import Errors, errors_of
from superpoint_rknn.vio.recordings import tum_rows


def summarise(out: Path, sequence: RenderedSequence, report: dict) -> dict:
    """
    Content of summary.json; also writes truth.tum and trajectory.png.

    report: what the player has printed. Errors are None if the trajectory is too short for them.
    """
    truth = tum_rows(sequence.stamps_ns[0] / 1e9 + sequence.times, sequence.body_poses)
    np.savetxt(out / 'truth.tum', truth, fmt='%.9f')
    estimate = np.loadtxt(out / 'trajectory.tum', ndmin=2).reshape(-1, 8)
    errors = _errors(estimate, truth)
    if errors is not None:
        plot(out / 'trajectory.png', errors)
    superpoint, tracker = report['superpoint'], report['tracker']
    return {
        'model': superpoint['model'],
        'runtime': superpoint['runtime'],
        'images_published': len(sequence.images),
        'images_received': int(superpoint['received']),
        'images_dropped': int(superpoint['dropped']) + int(tracker['dropped']),
        'images_failed': int(superpoint['failed']) + int(tracker['failed']),
        'images_tracked': int(tracker['published']),
        'feature_messages': report['features'],
        'odometry_messages': report['odometry'],
        'init_s': round(estimate[0, 0] - truth[0, 0], 3) if len(estimate) else None,
        'ate_m': None if errors is None else round(errors.ate_m, 4),
        'rpe_m': None if errors is None else round(errors.rpe_m, 4),
        'yaw_drift_deg': None if errors is None else round(errors.yaw_drift_deg, 3),
    }


def _errors(estimate: np.ndarray, truth: np.ndarray) -> Errors | None:
    try:
        return errors_of(estimate, truth)
    except ValueError:  # the estimator started too late or never, which `problems` reports
        return None


def plot(path: Path, errors: Errors) -> None:
    """Plot the aligned trajectory beside the true one, from above, and the position error."""
    figure = Figure(figsize=(10, 4.5), layout='constrained')
    left, right = figure.subplots(1, 2)
    left.plot(errors.truth[:, 1], errors.truth[:, 2], 'k-', linewidth=1, label='true')
    left.plot(errors.estimate[:, 1], errors.estimate[:, 2], 'r--', label='estimated')
    left.set(xlabel='x [m]', ylabel='y [m]', title='from above', aspect='equal')
    left.legend()
    distance = np.linalg.norm(errors.estimate[:, 1:4] - errors.truth[:, 1:4], axis=1)
    right.plot(errors.truth[:, 0] - errors.truth[0, 0], 100 * distance)
    right.set(xlabel='time since the start of the estimator [s]', ylabel='error [cm]')
    right.set(title=f'position error, ATE {100 * errors.ate_m:.2f} cm', ylim=(0, None))
    figure.savefig(path, dpi=110)


def problems(figures: dict) -> list[str]:
    """Failed checks of a run, one phrase each."""
    published = figures['images_published']
    checks = [
        (
            figures['images_received'] == figures['images_tracked'] == published,
            f'{published} images published, {figures["images_received"]} received, '
            f'{figures["images_tracked"]} tracked',
        ),
        (figures['images_dropped'] == 0, f'{figures["images_dropped"]} images dropped'),
        (figures['images_failed'] == 0, f'{figures["images_failed"]} images failed'),
        (figures['feature_messages'] > 0, 'no features arrived'),
        (
            figures['ate_m'] is not None,
            f'{figures["odometry_messages"]} odometry messages: the estimator started too late '
            'or never',
        ),
    ]
    return [problem for passed, problem in checks if not passed]
