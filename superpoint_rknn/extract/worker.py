"""
The worker process that extracts the features of one recording.

It receives its job through a connection and answers with JSON objects: progress, as the number of
`images` done and the time `covered` of the recording [s]; at the end a `summary`, or an `error`
and its `cause`, see run_attempt. When the connection is closed, it ends.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn

import cv2

from superpoint_rknn.extract.extraction import Extraction
from superpoint_rknn.extract.feature_bag import FeatureBag
from superpoint_rknn.extract.job import Job
from superpoint_rknn.extract.output import RECORD
from superpoint_rknn.extract.parameters import runtime_options
from superpoint_rknn.runtimes.model_files import model_id
from superpoint_rknn.runtimes.open import open_runtime
from superpoint_rknn.runtimes.outputs import network_faults

REPORT_PERIOD = 0.1  # [s] between two progress messages
EXIT_TIMEOUT = 5.0  # [s] to end after the parent has ended

log = logging.getLogger(__name__)


def extract(job: Job, path: Path, report: Callable[[int, float], None]) -> dict[str, Any]:
    """
    Write the features of a recording to a new bag at `path`; return the summary.

    Raises OSError or RuntimeError if this machine can't do it, ValueError if none can.
    """
    model = model_id(Path(job.model), Path(job.model).read_bytes())
    if model != job.request['model']:
        raise RuntimeError(f'{job.model} is {model} here, {job.request["model"]} was asked for')
    if job.threads is not None:
        cv2.setNumThreads(job.threads)
    with closing(
        open_runtime(
            job.model,
            threads=job.threads,
            **runtime_options(job.values),
        )
    ) as runtime:
        for fault in network_faults(runtime):
            log.warning(fault)
        start = time.perf_counter()
        extraction = Extraction(job, runtime, report)
        with FeatureBag(path, job.topics, job.descriptors_rate != 0) as bag:
            extraction.write(bag)
            summary = extraction.summary(time.perf_counter() - start)
            record = {'request': job.request, 'summary': summary}
            bag.set_custom_data(RECORD, json.dumps(record))
        return summary


def main(handle: int, path: Path) -> int:
    """
    Run the job that is received from the parent process and write its bag at `path`.

    handle: file descriptor of the connection. Returns the exit code.
    """
    signal.signal(signal.SIGTERM, _exit)
    parent = Connection(handle)  # stays open until the process ends

    def send(**message: Any) -> None:
        parent.send_bytes(json.dumps(message).encode())

    next_report = 0.0

    def report(images: int, covered: float) -> None:
        nonlocal next_report
        if time.monotonic() >= next_report:
            next_report = time.monotonic() + REPORT_PERIOD
            send(images=images, covered=covered)

    try:
        job = Job.from_json(parent.recv_bytes())
    except EOFError:  # the parent has ended
        return 1
    try:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
        send(summary=extract(job, path, report))
    except ConnectionError:  # the parent has ended
        return 1
    except OSError as error:  # the error of a full disk names no file
        send(error=f'{job.output}: {error}', cause='machine')
        return 1
    except RuntimeError as error:
        send(error=str(error), cause='machine')
        return 1
    except ValueError as error:
        send(error=str(error), cause='input')
        return 1
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it is about to end
    return 0


def _end_with(parent: Connection) -> None:
    """End this process when its parent has ended or closed the connection."""
    with suppress(EOFError, OSError):
        parent.recv_bytes()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(EXIT_TIMEOUT)
    os._exit(1)  # the main thread is blocked in a call into the runtime


def _exit(number: int, _: Any) -> NoReturn:
    signal.signal(number, signal.SIG_IGN)  # a second one must not interrupt the clean-up
    sys.exit(128 + number)


if __name__ == '__main__':
    sys.exit(main(int(sys.argv[1]), Path(sys.argv[2])))
