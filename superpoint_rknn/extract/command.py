"""
Extract keypoints, descriptors and tracks from every image of recordings, without a ROS graph.

  superpoint_rknn extract drive.mcap -o drive_features --params superpoint.yaml
  superpoint_rknn extract monday tuesday -o features --topic /cam0/image --topic /cam1/image

A BAG is a rosbag2 (folder, .mcap or .db3, also .zstd), a ROS 1 .bag or a sequence in EuRoC's
format (the folder of mav0); it is never written to. OUT is a rosbag2 in MCAP; with several BAGs, a
folder with one rosbag2 per BAG, of the same name. An image on /cam0/image_raw, or
/cam0/image_raw/compressed, yields messages on /cam0/keypoints, /cam0/descriptors and /cam0/tracks
with the header and recording time of the image. The images are not copied. No image is dropped,
the tracker uses all descriptors, and the same command writes the same messages.

An output appears under its name only when it is complete. Repeat the command to resume an
interrupted run: finished bags are skipped, an unfinished one is started again. An output of other
inputs or settings is kept unless --force is given.

Images that cannot be decoded are reported, counted and left out. Of a damaged BAG, what can be
read is extracted, and what is missing is reported. The exit code is 0 only if every image of every
BAG has its features and, without --allow-truncated, nothing of a BAG is missing.
"""

from __future__ import annotations

import argparse
import json
import sys
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from superpoint_rknn.errors import one_line
from superpoint_rknn.extract.job import Job, choose_topics, file_state, output_paths
from superpoint_rknn.extract.output import describe_changes, read_record
from superpoint_rknn.extract.parameters import read_parameters, settings_of
from superpoint_rknn.extract.worker_pool import run_jobs
from superpoint_rknn.features.input_range import InputSettings
from superpoint_rknn.files import check_output, write_atomically
from superpoint_rknn.progress import tqdm
from superpoint_rknn.runtimes.board import detect_soc
from superpoint_rknn.runtimes.model_files import find_model, model_id
from superpoint_rknn.runtimes.runtime import ModelError
from superpoint_rknn.sources.bag import Images


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to a parser."""
    add = parser.add_argument
    add('bags', nargs='+', type=Path, metavar='BAG')
    add('-o', '--output', type=Path, required=True, metavar='OUT')
    add(
        '--topic',
        action='append',
        help='image topic; repeat it for each camera (default: the only one in the bag)',
    )
    add('--model', help='model file, or superpoint_small (default: superpoint)')
    add('--runtime', help='auto, librknn, rknnlite or onnx (default: auto, by the model file)')
    add(
        '--params',
        action='append',
        type=Path,
        default=[],
        metavar='FILE',
        help='parameter file of the nodes, such as config/superpoint.yaml or config/tracker.yaml; '
        'parameters of a running node alone (descriptors.rate, image_transport, ...) are ignored',
    )
    add(
        '-p',
        action='append',
        default=[],
        dest='given',
        metavar='NAME:=VALUE',
        help='one such parameter, as for `ros2 run`; overrides --params',
    )
    add(
        '--descriptors-rate',
        type=float,
        metavar='HZ',
        help='images per second to compute descriptors for, by their timestamps; 0: none '
        '(default: every image)',
    )
    add(
        '--jobs',
        type=int,
        metavar='N',
        help='recordings to process at a time, each in its own process (default: one per core '
        'on a CPU, 1 on an NPU)',
    )
    add(
        '--allow-truncated',
        action='store_true',
        help='accept recordings of which a part is missing: exit code 0 if all that can be read '
        'is extracted',
    )
    add('--force', action='store_true', help='replace outputs that other inputs or settings made')
    add('--json', type=Path, metavar='FILE', help='write the figures of each bag as JSON')


def run(args: argparse.Namespace) -> int:
    """Run the command; return the exit code."""
    check_output(args.json, '.json')
    values = _read_values(args)
    model = find_model(values['model'], detect_soc(), values['runtime'])
    if not model.is_file():
        raise ModelError(f'{model}: no such file')
    bags = [bag.absolute() for bag in args.bags]
    outputs = output_paths(bags, args.output.resolve())
    jobs: list[Job] = []
    outcomes: dict[str, dict[str, Any]] = {}  # by output
    for bag, output in zip(bags, outputs, strict=True):
        try:
            jobs.append(_plan_job(bag, output, args.topic, model, values, args.descriptors_rate))
        except (OSError, ValueError) as error:
            outcomes[str(output)] = {'error': str(error)}
    finished = {
        job.output: summary for job in jobs if (summary := _finished_summary(job, args.force))
    }
    waiting = [job for job in jobs if job.output not in finished]
    _print_errors(outcome['error'] for outcome in outcomes.values())
    for job in jobs:
        if job.output in finished:
            outcomes[job.output] = {'summary': finished[job.output]}
            _print_outcome(job, outcomes[job.output], skipped=True)
    for job, outcome in run_jobs(*_share_cores(waiting, args.jobs)):
        outcomes[job.output] = outcome
        _print_outcome(job, outcome)
    report = []
    topics_of = {job.output: job.topics for job in jobs}
    for bag, output in zip(bags, outputs, strict=True):
        name = str(output)
        outcome = outcomes[name]
        row = {
            'bag': str(bag),
            'output': name,
            'topics': topics_of.get(name, ()),
            'skipped': name in finished,
        }
        report.append(row | (outcome if 'error' in outcome else outcome['summary']))
    if args.json:
        text = json.dumps({'bags': report}, indent=1, allow_nan=False)
        write_atomically(args.json, f'{text}\n'.encode())
    return int(
        any(
            'error' in row or row['failed'] or (row['missing'] and not args.allow_truncated)
            for row in report
        )
    )


def _read_values(args: argparse.Namespace) -> dict[str, Any]:
    """Values of all parameters. Raises OSError, or ValueError for an option out of range."""
    rate = args.descriptors_rate
    if rate is not None and not 0 <= rate <= 1000:
        raise ValueError(f'--descriptors-rate {rate}: expected 0 to 1000')
    if args.jobs is not None and args.jobs < 1:
        raise ValueError(f'--jobs {args.jobs}: expected at least 1')
    values = read_parameters(args.params, args.given)
    InputSettings.from_values(values)
    return values | {
        name: value for name in ('model', 'runtime') if (value := getattr(args, name))
    }


def _plan_job(
    bag: Path,
    output: Path,
    topics: Sequence[str] | None,
    model: Path,
    values: dict[str, Any],
    rate: float | None,
) -> Job:
    """
    Check a recording and collect in a job what its worker needs.

    topics: see choose_topics. rate: of descriptors [Hz]. Raises OSError or ValueError if the
    recording cannot be used.
    """
    if not bag.exists():
        raise FileNotFoundError(f'{bag}: no such file or folder')
    images = Images(bag)
    topics = choose_topics(images, topics)
    masks = [settings_of(values, topic)[0].mask for topic in topics]
    effective = {
        name: value for name, value in values.items() if value == value
    }  # not NaN: NaN != NaN
    request = {
        **effective,
        'model': model_id(model, model.read_bytes()),
        'bag': str(bag.resolve()),
        **file_state(bag),
        'topics': topics,
        'masks': [None if mask is None else zlib.crc32(mask.tobytes()) for mask in masks],
        'descriptors_rate': rate,
    }
    return Job(
        bag=str(bag),
        output=str(output),
        topics=topics,
        images=sum(images.counts[topic] for topic in topics),
        model=str(model),
        values=values,
        descriptors_rate=rate,
        request=json.loads(json.dumps(request)),  # as a later run reads it
    )


def _finished_summary(job: Job, force: bool) -> dict[str, Any] | None:
    """
    Summary of an output that an earlier run completed for the same request; None to run the job.

    Raises FileExistsError if the output was made for another request, unless `force`.
    """
    record = read_record(Path(job.output))
    if record is None:
        return None
    changes = describe_changes(record['request'], job.request)
    if not changes:
        return record['summary']
    if force:
        return None
    raise FileExistsError(
        f'{job.output} was made from other inputs or settings ({changes}): use --force to replace '
        'it, or name another output'
    )


def _share_cores(jobs: list[Job], concurrency: int | None) -> tuple[list[Job], int]:
    """
    Divide the CPU's cores among the jobs that run at a time.

    concurrency: jobs at a time; None: one per core, or 1 on an NPU.
    Returns the jobs with their number of threads, and the number of jobs at a time.
    """
    if not jobs or not jobs[0].model.endswith('.onnx'):
        return jobs, min(concurrency or 1, len(jobs))
    from superpoint_rknn.runtimes.onnx.runtime import physical_cores

    cores = physical_cores()
    concurrency = min(concurrency or cores, len(jobs))
    return [replace(job, threads=max(1, cores // concurrency)) for job in jobs], concurrency


def _print_outcome(job: Job, outcome: dict[str, Any], skipped: bool = False) -> None:
    """Print the result of a recording in a line, and errors and unusable images on stderr."""
    if 'error' in outcome:
        _print_errors([outcome['error']])
        return
    summary = outcome['summary']
    speed = summary['images'] / max(summary['seconds'], 1e-9)
    tqdm.write(
        f'{one_line(str(job.output))}: {summary["images"]} images, '
        f'{summary["keypoints"]} keypoints, '
        f'{speed:.1f} images/s, {summary["real_time_factor"]:g} x real time'
        + (' (finished before)' if skipped else '')
    )
    _print_errors(f'{job.bag}: {text}' for text in summary['warnings'])
    if summary['missing']:
        _print_errors([f'{job.bag}: incomplete: {"; ".join(summary["missing"])}'])
    if summary['failed']:
        unlisted = summary['failed'] - len(summary['failures'])
        more = [f'and {unlisted} more'] if unlisted else []
        _print_errors(
            [f'{job.bag}: {summary["failed"]} images left out', *summary['failures'], *more]
        )


def _print_errors(lines: Iterable[str]) -> None:
    for line in lines:
        tqdm.write(f'superpoint_rknn: {one_line(line)}', file=sys.stderr)
