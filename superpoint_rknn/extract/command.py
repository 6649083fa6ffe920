"""
Features of recordings, without a ROS graph: each image's keypoints, descriptors and tracks.

  superpoint_rknn extract drive.mcap -o drive_features --params superpoint.yaml
  superpoint_rknn extract monday tuesday -o features --topic /cam0/image --topic /cam1/image

A BAG is a rosbag2 (folder, .mcap or .db3) or a ROS 1 .bag, and is only read. OUT is a rosbag2 in
MCAP; with several BAGs a folder of such, named as they are. An image on /cam0/image_raw, or
/cam0/image_raw/compressed, gives /cam0/keypoints, /cam0/descriptors and /cam0/tracks with its
header, at its time of recording; the images aren't copied. No image is dropped, tracks see every
image's descriptors that are made, and the same command gives the same messages.

An output stands under its name only when it is whole. A run that was cut off is taken up by the
same command: finished bags are skipped, an unfinished one begins anew. An output of other inputs
or settings is left alone unless --force is given.

Images that can't be decoded are named, counted and left out. The exit code is 0 only if every
image of every BAG has its features.
"""

from __future__ import annotations

import argparse
import json
import sys
import zlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from superpoint_rknn.extract.job import Job, choose_topics, place_outputs, state_of
from superpoint_rknn.extract.output import differences, find_record
from superpoint_rknn.extract.parameters import read_parameters, settings_of
from superpoint_rknn.extract.worker_pool import run_jobs
from superpoint_rknn.files import check_output, write_atomically
from superpoint_rknn.runtimes.board import detect_soc
from superpoint_rknn.runtimes.model_files import find_model, model_id
from superpoint_rknn.runtimes.runtime import ModelError
from superpoint_rknn.sources.bag import Images


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `superpoint_rknn extract`."""
    add = parser.add_argument
    add('bags', nargs='+', type=Path, metavar='BAG')
    add('-o', '--output', type=Path, required=True, metavar='OUT')
    add(
        '--topic',
        action='append',
        help='image topic; give it once for each camera (default: the only one)',
    )
    add('--model', help='network: a file, or superpoint_small (default: superpoint)')
    add('--runtime', help='auto, librknn, rknnlite or onnx (default: auto, by the kind of model)')
    add(
        '--params',
        action='append',
        type=Path,
        default=[],
        metavar='FILE',
        help='parameters of the nodes, as in config/superpoint.yaml and config/tracker.yaml; what '
        'matters to a running node alone (descriptors.rate, image_transport, ...) has no effect',
    )
    add(
        '-p',
        action='append',
        default=[],
        dest='given',
        metavar='NAME:=VALUE',
        help='one such parameter, as `ros2 run` takes it; wins over --params',
    )
    add(
        '--descriptors-rate',
        type=float,
        metavar='HZ',
        help='descriptors of that many images a second, by their stamps; 0: of none (default: of '
        'every image)',
    )
    add(
        '--jobs',
        type=int,
        metavar='N',
        help='recordings at a time, each in a process of its own (default: one for each core on a '
        'CPU, which they share, one on an NPU)',
    )
    add('--force', action='store_true', help='replace outputs of other inputs or settings')
    add('--json', type=Path, metavar='FILE', help='write the figures of each bag')


def run(args: argparse.Namespace) -> int:
    """Run `superpoint_rknn extract`; returns the exit code."""
    check_output(args.json, '.json')
    bags = [bag.absolute() for bag in args.bags]
    for bag in bags:
        if not bag.exists():
            raise FileNotFoundError(f'{bag}: no such file or folder')
    places = place_outputs(bags, args.output.resolve())
    jobs = [_job(bag, place, args) for bag, place in zip(bags, places, strict=True)]
    finished = {job.output: summary for job in jobs if (summary := _finished(job, args.force))}
    to_do = [job for job in jobs if job.output not in finished]
    outcomes = {output: {'summary': summary} for output, summary in finished.items()}
    for job in jobs:
        if job.output in finished:
            _tell(job, outcomes[job.output], skipped=True)
    for job, outcome in run_jobs(*_shared_out(to_do, args.jobs)):
        outcomes[job.output] = outcome
        _tell(job, outcome)
    report = [
        {
            'bag': job.bag,
            'output': job.output,
            'topics': job.topics,
            'skipped': job.output in finished,
            **({'error': outcome['error']} if 'error' in outcome else outcome['summary']),
        }
        for job in jobs
        for outcome in [outcomes[job.output]]
    ]
    if args.json:
        text = json.dumps({'bags': report}, indent=1, allow_nan=False)
        write_atomically(args.json, f'{text}\n'.encode())
    return int(any('error' in row or row['failed'] for row in report))


def _job(bag: Path, place: Path, args: argparse.Namespace) -> Job:
    """Settle all of a job that can be known beforehand; raises OSError or ValueError."""
    values = read_parameters(args.params, args.given)
    values |= {name: value for name in ('model', 'runtime') if (value := getattr(args, name))}
    rate = args.descriptors_rate
    if rate is not None and not 0 <= rate <= 1000:
        raise ValueError(f'--descriptors-rate {rate}: expected 0 to 1000')
    if args.jobs is not None and args.jobs < 1:
        raise ValueError(f'--jobs {args.jobs}: at least one is needed')
    model = find_model(values['model'], detect_soc(), values['runtime'])
    if not model.is_file():
        raise ModelError(f'{model}: no such file')
    images = Images(bag)
    topics = choose_topics(images, args.topic)
    masks = [settings_of(values, topic)[0].mask for topic in topics]
    effective = {name: value for name, value in values.items() if value == value}  # without NaN
    request = {
        **effective,
        'model': model_id(model, model.read_bytes()),
        'bag': str(bag.resolve()),
        **state_of(bag),
        'topics': topics,
        'masks': [None if mask is None else zlib.crc32(mask.tobytes()) for mask in masks],
        'descriptors_rate': rate,
    }
    return Job(
        bag=str(bag),
        output=str(place),
        topics=topics,
        images=sum(images.counts[topic] for topic in topics),
        model=str(model),
        values=values,
        descriptors_rate=rate,
        request=json.loads(json.dumps(request)),  # as it will be read again
    )


def _finished(job: Job, force: bool) -> dict[str, Any] | None:
    """Summary of an output that needs no work; FileExistsError for one that is in the way."""
    record = find_record(Path(job.output))
    if record is None:
        return None
    changed = differences(record['request'], job.request)
    if not changed:
        return record['summary']
    if force:
        return None
    raise FileExistsError(
        f'{job.output} holds features of something else ({changed}): use --force to replace them, '
        'or another output'
    )


def _shared_out(jobs: list[Job], at_once: int | None) -> tuple[list[Job], int]:
    """The jobs, each with its share of the cores, and how many to do at a time."""
    if not jobs or not jobs[0].model.endswith('.onnx'):
        return jobs, min(at_once or 1, len(jobs))
    from superpoint_rknn.runtimes.onnx.runtime import physical_cores

    cores = physical_cores()
    at_once = min(at_once or cores, len(jobs))
    return [replace(job, threads=max(1, cores // at_once)) for job in jobs], at_once


def _tell(job: Job, outcome: dict[str, Any], skipped: bool = False) -> None:
    """A line on what became of a recording; on stderr too if not all of it could be used."""
    if 'error' in outcome:
        _complain([outcome['error']])
        return
    summary = outcome['summary']
    speed = summary['images'] / max(summary['seconds'], 1e-9)
    tqdm.write(
        f'{job.output}: {summary["images"]} images, {summary["keypoints"]} keypoints, '
        f'{speed:.1f} images/s, {summary["real_time_factor"]:g} x real time'
        + (' (was there already)' if skipped else '')
    )
    if summary['failed']:
        unnamed = summary['failed'] - len(summary['failures'])
        more = [f'and {unnamed} more'] if unnamed else []
        _complain([f'{job.bag}: {summary["failed"]} images left out', *summary['failures'], *more])


def _complain(lines: Iterable[str]) -> None:
    for line in lines:
        tqdm.write('superpoint_rknn: ' + ' '.join(line.split()), file=sys.stderr)
