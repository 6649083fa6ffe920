"""Print the results of `extract`."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from superpoint_rknn.errors import one_line
from superpoint_rknn.extract.job import Job
from superpoint_rknn.progress import tqdm


def print_outcome(job: Job, outcome: dict[str, Any], skipped: bool = False) -> None:
    """Print the result of a recording in a line, and errors and unusable images on stderr."""
    if 'error' in outcome:
        print_errors([outcome['error']])
        return
    summary = outcome['summary']
    speed = summary['images'] / max(summary['seconds'], 1e-9)
    tqdm.write(
        f'{one_line(str(job.output))}: {summary["images"]} images, '
        f'{summary["keypoints"]} keypoints, '
        f'{speed:.1f} images/s, {summary["real_time_factor"]:g} x real time'
        + (' (finished before)' if skipped else '')
    )
    print_errors(f'{job.bag}: {text}' for text in summary['warnings'])
    if summary['missing']:
        print_errors([f'{job.bag}: incomplete: {"; ".join(summary["missing"])}'])
    if summary.get('late'):  # not in outputs of earlier versions
        print_errors(
            [
                f'{job.bag}: {summary["late"]} late images have no tracks: their timestamp is '
                'before that of an image recorded earlier'
            ]
        )
    if summary['failed']:
        unlisted = summary['failed'] - len(summary['failures'])
        more = [f'and {unlisted} more'] if unlisted else []
        print_errors(
            [f'{job.bag}: {summary["failed"]} images left out', *summary['failures'], *more]
        )


def print_errors(lines: Iterable[str]) -> None:
    """Print errors of recordings on stderr, a line each."""
    for line in lines:
        tqdm.write(f'superpoint_rknn: {one_line(line)}', file=sys.stderr)
