"""Run the jobs of `extract` on an executor, with retries and progress."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Generator, Sequence
from contextlib import closing
from queue import Empty, SimpleQueue
from typing import Any

from superpoint_rknn.extract.attempt import MAX_ATTEMPTS
from superpoint_rknn.extract.executor import JobExecutor
from superpoint_rknn.extract.job import Job
from superpoint_rknn.progress import tqdm

Outcomes = Generator[tuple[Job, dict[str, Any]], None, None]
REDRAW_PERIOD = 1.0  # [s] while there is no progress


class Progress:
    """Context of a progress bar over all jobs: recordings, images, real-time factor, time left."""

    def __init__(self, jobs: Sequence[Job]):
        self._jobs = len(jobs)
        self._finished = 0
        self._done: dict[str, tuple[int, float]] = {}  # images, covered time [s], by output
        images = sum(job.images for job in jobs)
        self._bar = tqdm(total=images, unit='image', leave=False, disable=None)
        self.redraw()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def update(self, job: Job, images: int, covered: float) -> None:
        """Note the images of a job that are done, and the time covered of its recording [s]."""
        self._done[job.output] = images, covered
        self.redraw()

    def finish(self, job: Job, outcome: dict[str, Any]) -> None:
        """Note that a job has ended."""
        self._finished += 1
        _, covered = self._done.get(job.output, (0, 0.0))
        if 'summary' in outcome:
            covered = outcome['summary']['real_time_factor'] * outcome['summary']['seconds']
        self.update(job, job.images, covered)

    def redraw(self) -> None:
        """Draw the bar with the time that has passed."""
        if self._bar.disable:
            return
        elapsed = max(self._bar.format_dict['elapsed'], 1e-3)
        factor = sum(covered for _, covered in self._done.values()) / elapsed
        self._bar.set_description(f'{self._finished}/{self._jobs} recordings', refresh=False)
        self._bar.set_postfix_str(f'{factor:.2f} x real time', refresh=False)
        self._bar.update(sum(images for images, _ in self._done.values()) - self._bar.n)
        self._bar.refresh()


def run_jobs(jobs: Sequence[Job], executor: JobExecutor) -> Outcomes:
    """
    Run jobs; yield each with its `summary` or `error` when it ends, after at most MAX_ATTEMPTS.

    Closing the iterator closes the executor. Raises RuntimeError if the executor is lost.
    """
    waiting = deque(jobs)
    running: set[str] = set()  # outputs
    failures: Counter[str] = Counter()  # by output
    events: SimpleQueue[tuple[Job, Any]] = SimpleQueue()

    def start(job: Job) -> None:
        running.add(job.output)
        future = executor.submit(job, lambda *done: events.put((job, done)))
        future.add_done_callback(lambda future: events.put((job, future)))

    with closing(executor), Progress(jobs) as progress:
        while waiting or running:
            while waiting and len(running) < executor.capacity:
                start(waiting.popleft())
            try:
                job, event = events.get(timeout=REDRAW_PERIOD)
            except Empty:
                progress.redraw()
                continue
            if isinstance(event, tuple):
                if job.output in running:  # messages can arrive late
                    progress.update(job, *event)
                continue
            outcome = event.result()
            running.remove(job.output)
            if 'error' in outcome:
                failures[job.output] += 1
                if failures[job.output] < MAX_ATTEMPTS and executor.may_retry(job, outcome):
                    start(job)
                    continue
                outcome = {'error': outcome['error']}
            progress.finish(job, outcome)
            yield job, outcome
