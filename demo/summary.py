"""Summary of a run and checks of its consistency."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from bag import Received, Recording


def summarise(
    recording: Recording,
    report: dict[str, str],
    images_published: int,
    source: str,
    rate: float,
) -> dict:
    """
    Content of summary.json.

    report: the node's last diagnostics, values as text. rate: of the player [Hz].
    """
    points = [len(r.points.x) for r in recording.keypoints]
    latencies = [(r.time_ns - r.points.header.stamp_ns) / 1e6 for r in recording.keypoints]
    received = int(report['received'])
    return {
        'source': source,
        'rate_hz': rate,
        'images_published': images_published,
        'images_received': received,
        'images_dropped': int(report['dropped']),
        'images_failed': int(report['failed']),
        'images_lost': images_published - received,
        'keypoints_messages': len(recording.keypoints),
        'descriptors_messages': len(recording.descriptors),
        'points_mean': round(float(np.mean(points)), 1) if points else 0.0,
        'keypoints_hz': round(frequency(recording.keypoints), 2),
        'descriptors_hz': round(frequency(recording.descriptors), 2),
        'latency_ms': {
            name: round(float(np.percentile(latencies, share)), 2) if latencies else None
            for name, share in (('p50', 50), ('p95', 95))
        },
        'stamps_match': stamps_match(recording),
        'runtime': report['runtime'],
        'model': report['model'],
    }


def frequency(messages: Sequence[Received]) -> float:
    """Mean rate of messages [Hz]; 0 for fewer than two."""
    if len(messages) < 2:
        return 0.0
    return (len(messages) - 1) * 1e9 / (messages[-1].time_ns - messages[0].time_ns)


def stamps_match(recording: Recording) -> bool:
    """True if keypoints have headers of images, and descriptors the points of these keypoints."""
    images = set(recording.images)
    keypoints = {r.points.header: r.points for r in recording.keypoints}
    described = [r.points for r in recording.descriptors]
    return (
        len(keypoints) == len(recording.keypoints)  # one message per image
        and images.issuperset(keypoints)
        and all(p.header in keypoints and keypoints[p.header].equals(p) for p in described)
    )


def problems(summary: dict, recording: Recording, report: dict[str, str]) -> list[str]:
    """Failed checks of a run, one phrase each."""
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
            summary['descriptors_messages'] == int(report['descriptors']),
            f'the node published {report["descriptors"]} descriptors, '
            f'{summary["descriptors_messages"]} arrived',
        ),
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
    rows = summary | {f'latency_ms {k}': v for k, v in summary['latency_ms'].items()}
    del rows['latency_ms']
    width = max(map(len, rows))
    return '\n'.join(f'{name:<{width}}  {value}' for name, value in rows.items())
