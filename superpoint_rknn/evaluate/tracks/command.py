"""Compare the tracker with Shi-Tomasi corners and with ORB: length and accuracy of tracks."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from superpoint_rknn.evaluate.tracks import sequences as sequences_of
from superpoint_rknn.evaluate.tracks import visp_images
from superpoint_rknn.evaluate.tracks.features import (
    DETECTOR,
    OrbMatching,
    corners,
    network_features,
)
from superpoint_rknn.evaluate.tracks.metrics import (
    EPIPOLAR_LIMIT,
    POINT_LIMIT,
    TrackedPoints,
    common_points,
    distances_from_points,
    epipolar_distances,
    estimate_motion,
    relative_motion,
    rotation_angle,
    track_lengths,
)
from superpoint_rknn.evaluate.tracks.sequences import ImageSequence
from superpoint_rknn.features.keypoints import Keypoints
from superpoint_rknn.files import write_atomically
from superpoint_rknn.quantize.calibration import Progress
from superpoint_rknn.runtimes.model_files import find_model
from superpoint_rknn.runtimes.open import open_runtime
from superpoint_rknn.runtimes.runtime import Runtime
from superpoint_rknn.tracking.camera_model import CameraModel
from superpoint_rknn.tracking.tracker import Tracker, TrackSettings

if TYPE_CHECKING:
    from superpoint_rknn.progress import tqdm

SETTINGS = TrackSettings()
DESCRIBE_EVERY = 6  # images: 5 Hz at 30 Hz
DETECT_EVERY = 3  # images of ours_every_third: a network that takes 100 ms at 30 Hz
LONG_STEP = 10  # images, for the metrics with suffix _10
QUICK_IMAGES = 40  # of a sequence, with --quick
PAIR_OPTIONS = ('plot', 'weights', 'unrefined', 'allow_missing')
COLUMNS = {
    'tracks': ('tracks', 0),
    'mean_length': ('mean', 1),
    'median_length': ('median', 0),
    'epipolar_1px': ('epi 1px', 3),
    'off_3px': ('off 3px', 3),
    'inliers': ('inliers', 3),
    'rotation_error_deg': ('rot [deg]', 3),
    'epipolar_1px_10': ('epi 10', 3),
    'inliers_10': ('inliers 10', 3),
    'rotation_error_10_deg': ('rot 10', 3),
}

# Index of an image -> its keypoints; None if the network skips the image
Detect = Callable[[int], Keypoints | None]


def track_sequence(
    sequence: ImageSequence,
    tracker: Tracker,
    detect: Detect,
    describe: Callable[[Tracker, int], None] = lambda tracker, number: None,
) -> list[TrackedPoints]:
    """
    Points of a tracker in each image of a sequence.

    describe: called after each image, to pass descriptors to the tracker.
    """
    matrix = sequence.matrix
    camera_model = None if matrix is None else CameraModel(matrix, '', np.empty(0))
    history = []
    for number, image in enumerate(sequence.images):
        tracks = tracker.track(image, number, detect(number), camera_model)
        history.append(TrackedPoints(tracks.id.copy(), np.stack([tracks.x, tracks.y], axis=1)))
        describe(tracker, number)
    return history


def track_with_all(
    sequence: ImageSequence, runtime: Runtime, progress: Progress = iter
) -> dict[str, list[TrackedPoints]]:
    """
    Points in each image, by row.

    All rows have the same settings, except that tracks snap to keypoints of the network only.
    """
    features = network_features(runtime, progress(sequence.images))
    no_snap, matching = replace(SETTINGS, snap_gain=0.0), OrbMatching()

    def describe(tracker: Tracker, number: int) -> None:
        described = number - 1  # descriptors arrive one image late
        if described >= 0 and described % DESCRIBE_EVERY == 0:
            points, descriptors = features[described].keypoints, features[described].descriptors
            tracker.add_descriptors(described, points.x, points.y, descriptors, runtime.model)

    def keypoints(number: int) -> Keypoints:
        return features[number].keypoints

    def every_third(number: int) -> Keypoints | None:
        return None if number % DETECT_EVERY else keypoints(number)

    def with_corners(number: int) -> Keypoints:
        return corners(sequence.images[number])

    def with_orb(number: int) -> Keypoints:
        return matching.keypoints(sequence.images[number])

    return {
        'ours': track_sequence(sequence, Tracker(SETTINGS), keypoints, describe),
        'lk': track_sequence(sequence, Tracker(no_snap), with_corners),
        'orb': track_sequence(sequence, Tracker(no_snap, matching.follow), with_orb),
        'ours_without_descriptors': track_sequence(sequence, Tracker(SETTINGS), keypoints),
        'ours_every_third': track_sequence(sequence, Tracker(SETTINGS), every_third),
    }


def metrics_of(sequence: ImageSequence, history: list[TrackedPoints]) -> dict[str, float | None]:
    """
    Metrics of one row; None if the sequence has no poses or is too short for a metric.

    tracks: mean number in an image. mean_length, median_length: number of images of a track.
    epipolar_1px: share of all steps between consecutive images that end within 1 px of the true
    epipolar line. off_3px: share of all observations more than 3 px from the projection of the
    track's point, see distances_from_points. inliers: share of the steps that agree with the
    estimated camera motion, mean over images. rotation_error_deg: error of the estimated rotation,
    median over images; an image without an estimate counts as 180. Suffix _10: the same for steps
    over 10 images.
    """
    images = track_lengths(history)
    return {
        'tracks': float(np.mean([len(points.id) for points in history])),
        'mean_length': float(images.mean()) if len(images) else 0.0,
        'median_length': float(np.median(images)) if len(images) else 0.0,
        'off_3px': _share_off(sequence, history),
        **_geometry(sequence, history, 1, ''),
        **_geometry(sequence, history, LONG_STEP, f'_{LONG_STEP}'),
    }


def _share_off(sequence: ImageSequence, history: list[TrackedPoints]) -> float | None:
    if sequence.poses is None or sequence.matrix is None:
        return None
    distances = distances_from_points(history, sequence.poses, sequence.matrix)
    return float(np.mean(distances > POINT_LIMIT)) if len(distances) else None


def _geometry(
    sequence: ImageSequence, history: list[TrackedPoints], gap: int, suffix: str
) -> dict[str, float | None]:
    distances, inliers, errors = [], [], []
    for number in range(len(history) - gap):
        first, second = common_points(history[number], history[number + gap])
        estimate = estimate_motion(first, second, sequence.matrix)
        inliers.append(estimate.inliers)
        if sequence.poses is None or sequence.matrix is None:
            continue
        motion = relative_motion(sequence.poses[number], sequence.poses[number + gap])
        distances.append(epipolar_distances(first, second, motion, sequence.matrix))
        rotation = estimate.rotation
        errors.append(180.0 if rotation is None else rotation_angle(rotation, motion[:3, :3]))
    steps = np.concatenate(distances) if distances else np.empty(0)
    return {
        f'epipolar_1px{suffix}': float(np.mean(steps <= EPIPOLAR_LIMIT)) if len(steps) else None,
        f'inliers{suffix}': float(np.mean(inliers)) if inliers else None,
        f'rotation_error{suffix}_deg': float(np.median(errors)) if errors else None,
    }


def report_on(
    sequences: Sequence[ImageSequence], runtime: Runtime, progress: Progress = iter
) -> dict:
    """Evaluate all rows on all sequences; returns the content of the --json file."""
    entries = []
    for sequence in sequences:
        rows = [
            {'name': name, **metrics_of(sequence, history)}
            for name, history in track_with_all(sequence, runtime, progress).items()
        ]
        entries.append({'name': sequence.name, 'images': len(sequence.images), 'rows': rows})
    return {
        'sequences': entries,
        'model': runtime.model,
        'engine': runtime.name,
        'detector': asdict(DETECTOR),
        'settings': asdict(SETTINGS),
    }


def table(report: dict) -> str:
    """Table of all rows of all sequences."""
    lines = []
    for entry in report['sequences']:
        lines.append(f'{entry["name"]}, {entry["images"]} images')
        lines.append(' ' * 26 + ''.join(f'{title:>11}' for title, _ in COLUMNS.values()))
        for row in entry['rows']:
            cells = (
                '-' if row[name] is None else f'{row[name]:.{digits}f}'
                for name, (_, digits) in COLUMNS.items()
            )
            lines.append(f'{row["name"]:26}' + ''.join(f'{cell:>11}' for cell in cells))
    return '\n'.join(lines)


def run(args: argparse.Namespace) -> int:
    """Run `superpoint_rknn evaluate --tracks`; returns the exit code."""
    from superpoint_rknn.progress import tqdm

    for name in PAIR_OPTIONS:
        if getattr(args, name):
            raise ValueError(f'--{name.replace("_", "-")}: not an option with --tracks')
    if args.fetch:
        print(f'image sequences: {visp_images.fetch_sequences()}')
        return 0
    if args.images:
        sequences = [sequences_of.own_sequence(path) for path in args.images]
    else:
        sequences = sequences_of.protocol_sequences()
    if args.quick:
        sequences = [replace(s, images=s.images[:QUICK_IMAGES]) for s in sequences]
    runtime = open_runtime(find_model(args.model, None))
    try:
        with tqdm(total=sum(len(s.images) for s in sequences), unit='image', leave=False) as bar:
            report = report_on(sequences, runtime, partial(_counted, bar))
    finally:
        runtime.close()
    print(table(report))
    if args.json:
        write_atomically(args.json, f'{json.dumps(report, indent=1, allow_nan=False)}\n'.encode())
    return 0


def _counted(bar: tqdm, items: Iterable[Any]) -> Iterator[Any]:
    for item in items:
        yield item
        bar.update()
