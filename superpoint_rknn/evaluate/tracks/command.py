"""How long the tracker follows points, and how well, beside corners and ORB."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial

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
    WITHIN,
    Seen,
    common,
    epipolar_distances,
    inliers,
    lengths,
    motion,
    rotation_angle,
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

SETTINGS = TrackSettings()
DESCRIBED = 6  # images from one with descriptors to the next: 5 of 30 a second
SELDOM = 3  # images from one with keypoints to the next, where the network takes 100 ms
APART = 10  # images, for the second group of figures
QUICK = 40  # images of a sequence
UNUSED = ('plot', 'weights', 'subpixel', 'allow_missing')
COLUMNS = {
    'tracks': ('tracks', 0),
    'mean_length': ('mean', 1),
    'median_length': ('median', 0),
    'epipolar_1px': ('epi 1px', 3),
    'inliers': ('inliers', 3),
    'rotation_error_deg': ('rot [deg]', 3),
    'epipolar_1px_10': ('epi 10', 3),
    'inliers_10': ('inliers 10', 3),
    'rotation_error_10_deg': ('rot 10', 3),
}

# Number of an image -> keypoints; None where there are none to be had
Detect = Callable[[int], Keypoints | None]


def tracked(
    sequence: ImageSequence,
    tracker: Tracker,
    detect: Detect,
    describe: Callable[[Tracker, int], None] = lambda tracker, number: None,
) -> list[Seen]:
    """
    What a tracker sees in each image of a sequence.

    describe: called after each image, for descriptors.
    """
    camera_model = None if sequence.matrix is None else CameraModel(sequence.matrix, '', [])
    history = []
    for number, image in enumerate(sequence.images):
        tracks = tracker.track(image, number, detect(number), camera_model)
        history.append(Seen(tracks.id.copy(), np.stack([tracks.x, tracks.y], axis=1)))
        describe(tracker, number)
    return history


def histories(sequence: ImageSequence, runtime: Runtime, progress: Progress = iter) -> dict:
    """
    What is seen in each image, by row.

    All rows share the settings; only a network's keypoints draw tracks to them.
    """
    found = network_features(runtime, progress(sequence.images))
    plain, matching = replace(SETTINGS, snap_gain=0.0), OrbMatching()

    def describe(tracker: Tracker, number: int) -> None:
        at = number - 1  # descriptors come an image late
        if at >= 0 and at % DESCRIBED == 0:
            points = found[at].keypoints
            tracker.describe(at, points.x, points.y, found[at].descriptors, runtime.model)

    def keypoints(number: int) -> Keypoints:
        return found[number].keypoints

    def seldom(number: int) -> Keypoints | None:
        return None if number % SELDOM else keypoints(number)

    def with_corners(number: int) -> Keypoints:
        return corners(sequence.images[number])

    def with_orb(number: int) -> Keypoints:
        return matching.keypoints(sequence.images[number])

    return {
        'ours': tracked(sequence, Tracker(SETTINGS), keypoints, describe),
        'lk': tracked(sequence, Tracker(plain), with_corners),
        'orb': tracked(sequence, Tracker(plain, matching.follow), with_orb),
        'ours_without_descriptors': tracked(sequence, Tracker(SETTINGS), keypoints),
        'ours_every_third': tracked(sequence, Tracker(SETTINGS), seldom),
    }


def figures(sequence: ImageSequence, history: list[Seen]) -> dict[str, float | None]:
    """
    Figures of one row; None where the sequence can't tell them.

    tracks: on average in an image. mean_length, median_length: images in which a track was seen.
    epipolar_1px: share of all steps from one image to the next that end within 1 px of the true
    epipolar line. inliers: share of steps that agree with the estimated motion, mean over images.
    rotation_error_deg: of the rotation estimated from them, median over images; 180 for none.
    Those of names with 10 are of places 10 images apart.
    """
    images = lengths(history)
    return {
        'tracks': float(np.mean([len(seen.id) for seen in history])),
        'mean_length': float(images.mean()) if len(images) else 0.0,
        'median_length': float(np.median(images)) if len(images) else 0.0,
        **_geometry(sequence, history, 1, ''),
        **_geometry(sequence, history, APART, f'_{APART}'),
    }


def _geometry(
    sequence: ImageSequence, history: list[Seen], gap: int, suffix: str
) -> dict[str, float | None]:
    distances, agreeing, errors = [], [], []
    for number in range(len(history) - gap):
        before, now = common(history[number], history[number + gap])
        estimate = inliers(before, now, sequence.matrix)
        agreeing.append(estimate.inliers)
        if sequence.poses is None:
            continue
        moved = motion(sequence.poses[number], sequence.poses[number + gap])
        distances.append(epipolar_distances(before, now, moved, sequence.matrix))
        rotation = estimate.rotation
        errors.append(180.0 if rotation is None else rotation_angle(rotation, moved[:3, :3]))
    steps = np.concatenate(distances) if distances else np.empty(0)
    return {
        f'epipolar_1px{suffix}': float(np.mean(steps <= WITHIN)) if len(steps) else None,
        f'inliers{suffix}': float(np.mean(agreeing)) if agreeing else None,
        f'rotation_error{suffix}_deg': float(np.median(errors)) if errors else None,
    }


def report_on(
    sequences: Sequence[ImageSequence], runtime: Runtime, progress: Progress = iter
) -> dict:
    """All figures, as `superpoint_rknn evaluate --tracks --json` writes them."""
    entries = []
    for sequence in sequences:
        rows = [
            {'name': name, **figures(sequence, history)}
            for name, history in histories(sequence, runtime, progress).items()
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
    """Figures of all rows of all sequences."""
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
    from tqdm import tqdm

    for name in UNUSED:
        if getattr(args, name):
            raise ValueError(f'--{name.replace("_", "-")}: of no use with --tracks')
    if args.fetch:
        print(f'image sequences: {visp_images.fetch_sequences()}')
        return 0
    if args.images:
        sequences = [sequences_of.own_sequence(path) for path in args.images]
    else:
        sequences = sequences_of.protocol_sequences()
    if args.quick:
        sequences = [replace(s, images=s.images[:QUICK]) for s in sequences]
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


def _counted(bar, images):
    for image in images:
        yield image
        bar.update()
