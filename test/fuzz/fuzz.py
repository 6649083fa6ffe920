"""
Fuzz the readers of untrusted files with atheris, guided by coverage: one process for each target.

  ./dev fuzz --minutes 30
  ./dev fuzz --minutes 5 --target mcap

A finding is an error that the reader does not document, a crash, an input that takes more than
5 s, or more than 500 MB of memory. Its input is written to out/fuzz, and the command that repeats
it is printed. The corpus is kept in .cache/fuzz. The exit code is 1 if there is a finding.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import logging
import os
import re
import resource
import sys
import tempfile
import traceback
from pathlib import Path
from typing import NoReturn

import atheris

with (
    contextlib.redirect_stderr(io.StringIO()),  # a line for each module
    atheris.instrument_imports(include=['superpoint_rknn', 'rosbags']),
):
    from seeds import SEEDS
    from targets import TARGETS

ROOT = Path(__file__).resolve().parents[2]
CORPUS, FINDINGS = ROOT / '.cache' / 'fuzz', ROOT / 'out' / 'fuzz'
SCRATCH = '/dev/shm'  # where it is fast to write a file for each input
MAX_MB = 500  # resident
ADDRESS_SPACE = 1 << 30  # [bytes] more than the process has when it begins
MAX_SECONDS = 5
MAX_INPUT = 1 << 14  # [bytes]
STATISTICS = re.compile(r'^stat::(\w+): +(\d+)', re.MULTILINE)


def main() -> int:
    """Fuzz all targets, or one; return the exit code."""
    parser = argparse.ArgumentParser(
        prog='./dev fuzz',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--minutes', type=float, default=30, help='for all targets together')
    parser.add_argument('--target', choices=list(TARGETS), metavar='NAME', help='only this one')
    arguments = parser.parse_args()
    names = [arguments.target] if arguments.target else list(TARGETS)
    seconds = max(1, round(arguments.minutes * 60 / len(names)))
    print(f'{len(names)} targets, {seconds} s each')
    print(f'{"target":22}{"executions":>12}{"slowest [s]":>13}{"memory [MB]":>13}', flush=True)
    found = [name for name in names if not fuzz(name, seconds)]
    print(f'targets with findings: {", ".join(found) or "none"}')
    return 1 if found else 0


def fuzz(name: str, seconds: int) -> bool:
    """Fuzz a target in a process of its own and print a line; return False if it has a finding."""
    corpus = CORPUS / name
    for folder in (corpus, FINDINGS):
        folder.mkdir(parents=True, exist_ok=True)
    for data in SEEDS[name]():
        (corpus / hashlib.sha1(data).hexdigest()).write_bytes(data)
    old = set(FINDINGS.iterdir())
    log = FINDINGS / f'{name}.log'
    with tempfile.TemporaryDirectory(dir=SCRATCH) as scratch:
        process = os.fork()
        if process == 0:
            run_target(name, seconds, corpus, scratch, log)
        _, status = os.waitpid(process, 0)
    text = log.read_text(errors='replace')
    figures = dict(STATISTICS.findall(text))
    executions, slowest, memory = (
        figures.get(key, '?')
        for key in ('number_of_executed_units', 'slowest_unit_time_sec', 'peak_rss_mb')
    )
    print(f'{name:22}{executions:>12}{slowest:>13}{memory:>13}', flush=True)
    if status == 0:
        log.unlink()
        return True
    reasons = [line for line in text.splitlines() if 'rror' in line]
    reason = reasons[-1] if reasons else f'wait status {status}'
    print(f'  {reason:.200} ({log.relative_to(ROOT)})')
    for path in sorted(set(FINDINGS.iterdir()) - old - {log}):
        print(f'  ./dev run python test/fuzz/targets.py {name} {path.relative_to(ROOT)}')
    sys.stdout.flush()
    return False


def run_target(name: str, seconds: int, corpus: Path, scratch: str, log: Path) -> NoReturn:
    """Fuzz a target in this process, in the current folder; libFuzzer ends the process."""

    def run(data: bytes) -> None:
        try:
            TARGETS[name].run(data)
        except BaseException:
            traceback.print_exc()
            (FINDINGS / f'{name}-error-{hashlib.sha1(data).hexdigest()}').write_bytes(data)
            os._exit(1)  # libFuzzer would write it only after Python's end, which its timer breaks

    with log.open('wb') as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(scratch)
    tempfile.tempdir = scratch
    logging.disable()
    size = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + ADDRESS_SPACE,) * 2)
    options = {
        'artifact_prefix': f'{FINDINGS}/{name}-',
        'max_total_time': seconds,
        'timeout': MAX_SECONDS,
        'rss_limit_mb': MAX_MB,
        'max_len': MAX_INPUT,
        'print_final_stats': 1,
    }
    atheris.Setup([name, str(corpus), *(f'-{key}={value}' for key, value in options.items())], run)
    atheris.Fuzz()
    os._exit(0)


if __name__ == '__main__':
    sys.exit(main())
