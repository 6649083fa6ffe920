"""Summary of a run and checks of its consistency."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from bag import Received, Recording

Reports = dict[str, dict[str, str]]  # values of the diagnostics by node


def summarise(
    recording: Recording,
    reports: Reports,
    images_published: int,
    source: str,
    rate: float,
) -> dict:
    """
    Content of summary.json.

    reports: the last diagnostics of both nodes, values as text. rate: of the player [Hz].
    """
    superpoint = reports['superpoint']
    received = int(superpoint['received'])
    return {
        'source': source,
        'rate_hz': rate,
        'images_published': images_published,
        'images_received': received,
        'images_dropped': int(superpoint['dropped']),
        'images_failed': int(superpoint['failed']),
        'images_lost': images_published - received,
        'keypoints_messages': len(recording.keypoints),
        'descriptors_messages': len(recording.descriptors),
        'tracks_messages': len(recording.tracks),
        'points_mean': mean([len(r.points.x) for r in recording.keypoints]),
        'tracks_mean': mean([len(r.points.x) for r in recording.tracks]),
        'matches_mean': mean([len(m.first) for m in recording.matches]),
        'matches_apart_s': mean([m.seconds for m in recording.matches]),
        'keypoints_hz': round(frequency(recording.keypoints), 2),
        'descriptors_hz': round(frequency(recording.descriptors), 2),
        'tracks_hz': round(frequency(recording.tracks), 2),
        'latency_ms': latencies(recording.keypoints),
        'tracks_latency_ms': latencies(recording.tracks),
        'stamps_match': stamps_match(recording),
        'runtime': superpoint['runtime'],
        'model': superpoint['model'],
    }


def mean(values: Sequence[float]) -> float:
    """Mean, rounded to one decimal; 0 without values."""
    return round(float(np.mean(values)), 1) if values else 0.0


def latencies(messages: Sequence[Received]) -> dict[str, float | None]:
    """Percentiles of the times from the stamp of an image to the arrival of its result [ms]."""
    values = [(r.time_ns - r.points.header.stamp_ns) / 1e6 for r in messages]
    return {
        name: round(float(np.percentile(values, share)), 2) if values else None
        for name, share in (('p50', 50), ('p95', 95))
    }


def frequency(messages: Sequence[Received]) -> float:
    """Mean rate of messages [Hz]; 0 for fewer than two."""
    if len(messages) < 2:
        return 0.0
    return (len(messages) - 1) * 1e9 / (messages[-1].time_ns - messages[0].time_ns)


def stamps_match(recording: Recording) -> bool:
    """True if results have headers of images, and descriptors the points of these keypoints."""
    images = set(recording.images)
    keypoints = {r.points.header: r.points for r in recording.keypoints}
    described = [r.points for r in recording.descriptors]
    tracked = {r.points.header for r in recording.tracks}
    return (
        len(keypoints) == len(recording.keypoints)  # one message per image
        and len(tracked) == len(recording.tracks)
        and images.issuperset(keypoints)
        and images.issuperset(tracked)
        and all(p.header in keypoints and keypoints[p.header].equals(p) for p in described)
    )


def problems(summary: dict, recording: Recording, reports: Reports) -> list[str]:
    """Failed checks of a run, one phrase each."""
    superpoint, tracker = reports['superpoint'], reports['tracker']
    outcomes = summary['keypoints_messages'] + summary['images_dropped'] + summary['images_failed']
    checks = [
        (summary['keypoints_messages'] > 0, 'no keypoints arrived'),
        (
            summary['descriptors_messages'] > 0 or not summary['keypoints_messages'],
            'no descriptors arrived',
        ),
        (summary['images_failed'] == 0, f'the node failed on {summary["images_failed"]} images'),
        (
            summary['images_lost'] >= 0,
            f'the node received {summary["images_received"]} images of '
            f'{summary["images_published"]} published',
        ),
        (
            summary['images_received'] == outcomes,
            f'the node received {summary["images_received"]} images, but keypoints, dropped and '
            f'failed are {outcomes}',
        ),
        (
            summary['descriptors_messages'] == int(superpoint['descriptors']),
            f'the node published {superpoint["descriptors"]} descriptors, '
            f'{summary["descriptors_messages"]} arrived',
        ),
        (
            summary['tracks_messages'] == int(tracker['published']),
            f'the tracker published tracks of {tracker["published"]} images, '
            f'{summary["tracks_messages"]} arrived',
        ),
        (tracker['failed'] == '0', f'the tracker failed on {tracker["failed"]} images'),
        (
            len(recording.images) == summary['images_published'],
            f'the recorder received {len(recording.images)} of '
            f'{summary["images_published"]} images',
        ),
        (summary['stamps_match'], 'headers or points of the messages do not match'),
    ]
    return [problem for passed, problem in checks if not passed]


def table(summary: dict) -> str:
    """Summary as a table."""
    rows: dict[str, object] = {}
    for name, value in summary.items():
        if isinstance(value, dict):
            rows |= {f'{name} {key}': each for key, each in value.items()}
        else:
            rows[name] = value
    width = max(map(len, rows))
    return '\n'.join(f'{name:<{width}}  {value}' for name, value in rows.items())
