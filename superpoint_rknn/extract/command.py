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
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from superpoint_rknn.extract.executor import JobExecutor, LocalExecutor
from superpoint_rknn.extract.job import Job, output_paths
from superpoint_rknn.extract.output import finished_summary
from superpoint_rknn.extract.parameters import read_parameters
from superpoint_rknn.extract.plan import plan_job, share_cores, with_threads
from superpoint_rknn.extract.report import print_errors, print_outcome
from superpoint_rknn.extract.schedule import run_jobs
from superpoint_rknn.features.input_range import InputSettings
from superpoint_rknn.files import check_output, write_atomically
from superpoint_rknn.progress import tqdm
from superpoint_rknn.runtimes.board import detect_soc
from superpoint_rknn.runtimes.model_files import find_model, model_id
from superpoint_rknn.runtimes.runtime import ModelError


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
        '--scheduler',
        metavar='ADDRESS',
        help='address of a Dask scheduler, such as tcp://10.0.0.1:8786: its workers process the '
        'recordings, one in each of their threads (docs/fleet.md)',
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
    jobs, outcomes = _plan_jobs(args, bags, outputs, model, values)
    finished = {
        job.output: summary
        for job in jobs
        if (summary := finished_summary(Path(job.output), job.request, args.force))
    }
    print_errors(outcome['error'] for outcome in outcomes.values())
    for job in jobs:
        if job.output in finished:
            outcomes[job.output] = {'summary': finished[job.output]}
            print_outcome(job, outcomes[job.output], skipped=True)
    waiting = [job for job in jobs if job.output not in finished]
    if waiting:
        with closing(run_jobs(*_open_executor(waiting, args))) as ended:
            for job, outcome in ended:
                outcomes[job.output] = outcome
                print_outcome(job, outcome)
    topics_of = {job.output: job.topics for job in jobs}
    report = []
    for bag, name in zip(bags, map(str, outputs), strict=True):
        row = {
            'bag': str(bag),
            'output': name,
            'topics': topics_of.get(name, ()),
            'skipped': name in finished,
        }
        outcome = outcomes[name]
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
    if args.scheduler is not None and args.jobs is not None:
        raise ValueError('--jobs and --scheduler: expected one of them')
    values = read_parameters(args.params, args.given)
    InputSettings.from_values(values)
    return values | {
        name: value for name in ('model', 'runtime') if (value := getattr(args, name))
    }


def _plan_jobs(
    args: argparse.Namespace,
    bags: Sequence[Path],
    outputs: Sequence[Path],
    model: Path,
    values: dict[str, Any],
) -> tuple[list[Job], dict[str, dict[str, Any]]]:
    """Check recordings; return their jobs, and by output the errors of those without one."""
    model_name = model_id(model, model.read_bytes())
    jobs: list[Job] = []
    errors: dict[str, dict[str, Any]] = {}
    pairs = zip(bags, outputs, strict=True)
    for bag, output in tqdm(pairs, 'checking', len(bags), leave=False, disable=None, delay=1):
        try:
            settings = (model, model_name, values, args.descriptors_rate)
            jobs.append(plan_job(bag, output, args.topic, *settings, args.force))
        except (OSError, ValueError) as error:
            errors[str(output)] = {'error': str(error)}
    return jobs, errors


def _open_executor(
    jobs: Sequence[Job], args: argparse.Namespace
) -> tuple[Sequence[Job], JobExecutor]:
    """Return the jobs, with their number of threads, and the executor that runs them."""
    if args.scheduler is None:
        jobs, concurrency = share_cores(jobs, args.jobs)
        return jobs, LocalExecutor(concurrency)
    from superpoint_rknn.extract.dask_executor import DaskExecutor  # optional

    executor = DaskExecutor(args.scheduler)
    tqdm.write(executor.description)
    return with_threads(jobs, 1), executor
