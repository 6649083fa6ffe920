"""What a soak run found: figures of each process, what is wrong with them, and a table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from soak_samples import Samples, slope

NODES = ('superpoint', 'tracker')
# What must not grow: name, limit per hour, least growth in the whole run that counts. It has grown
# if it exceeds both limits, the first by SIGNIFICANCE standard errors.
LIMITS = {
    'rss_mb': ('memory [MB]', 10.0, 2.0),
    'shared_mb': ('shared memory [MB]', 10.0, 2.0),
    'fds': ('file handles', 1.0, 1.0),
    'threads': ('threads', 1.0, 1.0),
}
SIGNIFICANCE = 3.0
COUNTS = {
    'received': 'received',
    'published': 'published',
    'dropped': 'dropped, a newer image arrived',
    'dropped_late': 'dropped, late',
    'failed': 'failed',
    'lost': 'lost by the middleware',
    'unaccounted': 'unaccounted for',
}


def account(sent: int, counts: dict[str, int]) -> dict[str, int | None]:
    """
    Return what became of the images that were sent to a node.

    counts: its counters. dropped_late are part of dropped. unaccounted: neither received nor lost,
    or received without an outcome. lost and unaccounted are None where the middleware does not
    number messages.
    """
    received, lost = counts['received'], counts.get('lost')
    ends = {key: counts[key] for key in ('published', 'dropped', 'failed')}
    return {
        'received': received,
        **ends,
        'dropped_late': counts.get('late_images', 0),
        'lost': lost,
        'unaccounted': None
        if lost is None
        else abs(sent - received - lost) + abs(received - sum(ends.values())),
    }


def account_inputs(superpoint: dict[str, int], tracker: dict[str, int]) -> dict[str, Any]:
    """
    Return what became of the keypoints and descriptors that the superpoint node published.

    superpoint, tracker: counters of the nodes. used: with their image. late: keypoints that
    arrived after it was tracked. unused: their image did not reach the tracker, or newer
    descriptors arrived. unaccounted: neither received nor lost, or more unused ones than such
    images.
    """
    tracked = tracker['published']
    used = {
        'keypoints': tracked - tracker.get('without_keypoints', 0),
        'descriptors': tracker.get('descriptors', 0),
    }
    late = {'keypoints': tracker.get('late_keypoints', 0), 'descriptors': 0}
    untracked = tracker['dropped'] + tracker['failed'] + tracker.get('lost', 0)
    inputs: dict[str, Any] = {}
    for topic, counter in (('keypoints', 'published'), ('descriptors', 'descriptors')):
        published = superpoint.get(counter, 0)
        received, lost = (tracker.get(f'{topic}_{what}', 0) for what in ('received', 'lost'))
        unused = received - used[topic] - late[topic]
        allowed = untracked if topic == 'keypoints' else received
        inputs[topic] = {
            'published': published,
            'received': received,
            'lost': lost,
            'used': used[topic],
            'late': late[topic],
            'unused': unused,
            'unaccounted': abs(published - received - lost) + max(-unused, unused - allowed, 0),
        }
    return inputs


def growth(samples: Samples, warm_up: float, rate: float) -> dict[str, Any]:
    """
    Return what a process held at the end and how that grew.

    warm_up: seconds after the first sample that are left out. rate: of the images [Hz].
    Slopes, and what follows from them, are None if there are too few samples; the page faults
    per image also without images.
    """
    times, values = samples.after(warm_up)
    slopes = {kind: slope(times, series) for kind, series in values.items()}
    rise, error = slopes['rss_mb'] or (None, None)
    faults, _ = slopes['page_faults'] or (None, None)
    return {
        'rss_slope_kb_per_min': rise and 1000 / 60 * rise,
        'rss_slope_error': error and 1000 / 60 * error,
        **{kind: samples.values[kind][-1] for kind in LIMITS},
        'page_faults_per_image': faults / 3600 / rate if faults is not None and rate else None,
        'hours_judged': (times[-1] - times[0]) / 3600 if len(times) else 0.0,
        'slopes_per_hour': {
            kind: found and {'slope': found[0], 'error': found[1]}
            for kind, found in slopes.items()
        },
    }


def failures(report: dict[str, Any]) -> list[str]:
    """Return what is wrong in a report, a line each."""
    found = list(report['ended'])
    for topic, figures in report['tracker_inputs'].items():
        if figures['unaccounted']:
            found.append(f'tracker: {figures["unaccounted"]} {topic} are unaccounted for')
    for name, figures in report['processes'].items():
        if figures.get('unaccounted'):
            found.append(f'{name}: {figures["unaccounted"]} images are unaccounted for')
        if figures.get('failed'):
            found.append(f'{name}: {figures["failed"]} images failed')
        for kind, (what, per_hour, least) in LIMITS.items():
            fit = figures['slopes_per_hour'][kind]
            if fit is None:
                continue
            rise = fit['slope'] * figures['hours_judged']
            if fit['slope'] - SIGNIFICANCE * fit['error'] > per_hour and rise >= least:
                found.append(
                    f'{name}: {what} grew by {rise:.1f}: {fit["slope"]:.1f} ± {fit["error"]:.1f} '
                    f'an hour, allowed {per_hour:g}'
                )
    return found


def table(report: dict[str, Any]) -> str:
    """Return the figures of all processes as text."""
    height, width = report['size']
    lines = [
        f'{report["images"]} images of {height}x{width} in {report["seconds"]:.0f} s '
        f'({report["rate_hz"]:.1f} Hz)'
    ]
    processes = report['processes']
    lines.append(_row('', processes))
    for key, what in COUNTS.items():
        lines.append(_row(what, [_count(figures, key) for figures in processes.values()]))
    for kind, (what, *_) in LIMITS.items():
        lines.append(_row(what, [f'{figures[kind]:.5g}' for figures in processes.values()]))
        lines.append(
            _row('  growth an hour', [_slope(figures, kind) for figures in processes.values()])
        )
    faults = [figures['page_faults_per_image'] for figures in processes.values()]
    lines.append(
        _row('page faults per image', ['too short' if f is None else f'{f:.3f}' for f in faults])
    )
    for topic, figures in report['tracker_inputs'].items():
        lines.append(
            f'{topic} for the tracker: ' + ', '.join(f'{figures[k]} {k}' for k in figures)
        )
    lines += [f'FAILED: {failure}' for failure in report['failures']]
    if not report['failures']:
        lines.append('passed: every image is accounted for, nothing grows')
    return '\n'.join(lines)


def _row(what: str, cells: Iterable[object]) -> str:
    return f'{what:32}' + ''.join(f'{cell!s:>18}' for cell in cells)


def _count(figures: dict[str, Any], key: str) -> str:
    if key not in figures:
        return ''
    return 'unknown' if figures[key] is None else str(figures[key])


def _slope(figures: dict[str, Any], kind: str) -> str:
    fit = figures['slopes_per_hour'][kind]
    return 'too short' if fit is None else f'{fit["slope"]:.2f} ± {fit["error"]:.2f}'
