"""One training run: steps, output files and checkpoints."""

from __future__ import annotations

import copy
import csv
import io
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from superpoint_rknn.files import write_atomically
from superpoint_rknn.progress import tqdm
from training import losses
from training.batch import Batch, BatchMaker
from training.curves import plot_curves
from training.network import SuperPoint, arrays, heat, images_to_input, restored
from training.settings import Settings, settings_of

CHECKPOINT = 'checkpoint.pt'
CHECKPOINT_EVERY = 120  # [s]
ROW_EVERY = 25  # steps, in the log
EMA = 0.995  # of the weights
WARM_UP = 50  # steps
BAR = '{l_bar}{bar:12}| {elapsed}<{remaining} {postfix}'
WEIGHTS = {
    'detector': 1.0,
    'place': 0.5,
    'descriptor': 0.8,
    'norm': 0.15,
    'outlier': 0.3,
    'teacher': 1.0,
}


class Run:
    """Network, optimizer, averaged weights and progress of a run."""

    def __init__(
        self,
        settings: Settings,
        maker: BatchMaker,
        out: Path,
        network: SuperPoint,
        teacher: SuperPoint | None,
    ):
        """Start a run with a network; out: folder for the output."""
        self.settings, self.out, self._maker = settings, out, maker
        self._device = torch.device(settings.device)
        self.network = network.to(self._device)
        self.average = copy.deepcopy(self.network)
        self.temperature = torch.nn.Parameter(torch.tensor(15.0, device=self._device).log())
        self._teacher = teacher.to(self._device).eval() if teacher else None
        kernels = [p for n, p in self.network.named_parameters() if n.endswith('weight')]
        others = [p for n, p in self.network.named_parameters() if n.endswith('bias')]
        groups = [
            {'params': kernels, 'weight_decay': 1e-3},
            {'params': [*others, self.temperature], 'weight_decay': 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=settings.rate, betas=(0.9, 0.99))
        self.step, self.seconds = 0, 0.0
        self.before: dict[str, float] = {}

    @classmethod
    def resumed(cls, checkpoint: dict, maker: BatchMaker, out: Path) -> Run:
        """Resume from a checkpoint of `save`."""
        taught = checkpoint['teacher']
        run = cls(
            settings_of(checkpoint),
            maker,
            out,
            restored(checkpoint['network']),
            restored(taught) if taught else None,
        )
        run.average.load_state_dict(checkpoint['average'])
        run.optimizer.load_state_dict(checkpoint['optimiser'])
        run.temperature.data = checkpoint['temperature'].to(run._device)
        run.step, run.seconds = checkpoint['step'], checkpoint['seconds']
        run.before = checkpoint['before']
        return run

    @property
    def done(self) -> float:
        """Progress of the run, 0 to 1."""
        if self.settings.steps:
            return min(1.0, self.step / self.settings.steps)
        return min(1.0, self.seconds / (60 * self.settings.minutes))

    def train(self, stopped: Callable[[], bool]) -> None:
        """
        Train until the run is done or `stopped` returns True.

        Raises ValueError if the loss is not finite; the last checkpoint remains.
        """
        path = self.out / 'log.csv'
        rows = _rows_until(path, self.step) if self.step else []
        fresh = not rows
        with (
            path.open('w', newline='', encoding='utf-8') as file,
            tqdm(total=1000, initial=int(1000 * self.done), bar_format=BAR) as bar,
        ):
            log = csv.writer(file)
            log.writerows(rows)
            mean: dict[str, float] = {}
            saved = time.monotonic()
            while self.done < 1 and not stopped():
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
        self.network.records_ranges = done >= settings.eight_bits - 0.05
        for name in ('conv1a', 'conv1b'):
            getattr(self.network, name).requires_grad_(done < settings.frozen)
        for group in self.optimizer.param_groups:
            group['lr'] = settings.rate * _rate(self.step, done)
        batch = self._maker.make(self.step)
        image = images_to_input(batch.images, self._device)
        with self._precision():
            logits, descriptors = (values.float() for values in self.network(image))
        parts = self._losses(batch, image, logits, descriptors)
        right = parts.pop('right')
        loss = sum(WEIGHTS[name] * part for name, part in parts.items())
        if not torch.isfinite(loss):
            raise ValueError(
                f'step {self.step}: the loss is {float(loss)}: try a lower --rate or --resume '
                f'{self.out} from its last checkpoint'
            )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 2.0)
        self.optimizer.step()
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
            for pair in batch.correspondences()
        ]
        points = [torch.from_numpy(found).to(self._device) for found in batch.points()]
        descriptor, right = losses.descriptor_loss(
            descriptors, places, self.temperature, settings.side
        )
        parts = {
            'detector': detector,
            'place': losses.place_loss(logits, points),
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
        """Write weights, checkpoint and curves; ValueError if weights are not finite."""
        self.write_weights({'before': self.before})
        state = {
            'settings': asdict(self.settings),
            'teacher': self._teacher.state_dict() if self._teacher else None,
            'network': self.network.state_dict(),
            'average': self.average.state_dict(),
            'optimiser': self.optimizer.state_dict(),
            'temperature': self.temperature.data,
            'step': self.step,
            'seconds': self.seconds,
            'before': self.before,
        }
        content = io.BytesIO()
        torch.save(state, content)
        write_atomically(self.out / CHECKPOINT, content.getbuffer())
        plot_curves(self.out / 'log.csv', self.out / 'curves.png')

    def write_weights(self, figures: dict) -> None:
        """Write the averaged weights and run.json."""
        content = io.BytesIO()
        np.savez(content, **arrays(self.average.weights()))
        write_atomically(self.out / 'superpoint.npz', content.getbuffer())
        facts = {
            'settings': asdict(self.settings),
            'steps': self.step,
            'minutes': round(self.seconds / 60, 2),
            'torch': torch.__version__,
            'validation': figures,
        }
        write_atomically(self.out / 'run.json', f'{json.dumps(facts, indent=1)}\n'.encode())


def _rows_until(log: Path, step: int) -> list[list[str]]:
    """Heading and rows of a log up to a step; later ones are repeated."""
    with log.open(newline='', encoding='utf-8') as file:
        heading, *rows = csv.reader(file)
    return [heading, *(row for row in rows if int(row[0]) <= step)]


def _rate(step: int, done: float) -> float:
    """Learning rate relative to its maximum: a warm-up, then half a cosine."""
    return min(1, (step + 1) / WARM_UP) * (0.015 + 0.985 * (1 + math.cos(math.pi * done)) / 2)
