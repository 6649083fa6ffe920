"""Check what `extract` was asked for, and collect it in jobs."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from superpoint_rknn.extract.job import Job, choose_topics, file_state
from superpoint_rknn.extract.parameters import settings_of
from superpoint_rknn.files import absolute_path
from superpoint_rknn.sources.bag import Images


def plan_job(
    bag: Path,
    output: Path,
    topics: Sequence[str] | None,
    model: Path,
    model_name: str,
    values: dict[str, Any],
    rate: float | None,
    replace_output: bool,
) -> Job:
    """
    Check a recording and collect in a job what its worker needs.

    topics: see choose_topics. model_name: see model_id. rate: of descriptors [Hz].
    replace_output: one that was made for another request.
    Raises OSError or ValueError if the recording cannot be used.
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
        'model': model_name,
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
        values=_with_absolute_masks(values),
        descriptors_rate=rate,
        request=json.loads(json.dumps(request)),  # as a later run reads it
        replace=replace_output,
    )


def share_cores(jobs: Sequence[Job], concurrency: int | None) -> tuple[list[Job], int]:
    """
    Divide the CPU's cores among the jobs that run at a time on this machine.

    concurrency: jobs at a time; None: one per core, or 1 on an NPU.
    Returns the jobs with their number of threads, and the number of jobs at a time.
    """
    if not _is_on_cpu(jobs[0]):
        return list(jobs), concurrency or 1
    from superpoint_rknn.runtimes.onnx.runtime import physical_cores

    cores = physical_cores()
    concurrency = min(concurrency or cores, len(jobs))
    return with_threads(jobs, max(1, cores // concurrency)), concurrency


def with_threads(jobs: Iterable[Job], threads: int) -> list[Job]:
    """Jobs with this number of threads, if they run on a CPU."""
    return [replace(job, threads=threads) if _is_on_cpu(job) else job for job in jobs]


def _is_on_cpu(job: Job) -> bool:
    return job.model.endswith('.onnx')


def _with_absolute_masks(values: dict[str, Any]) -> dict[str, Any]:
    """Parameters whose masks are found from any working directory."""
    masks = {
        name: str(absolute_path(path))
        for name, path in values.items()
        if path and (name == 'mask' or name.endswith('.mask'))
    }
    return {**values, **masks}
