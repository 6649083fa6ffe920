"""Identify the board, its chip and NPU driver from files that the kernel exports."""

from __future__ import annotations

import re
from pathlib import Path

COMPATIBLE = Path('/proc/device-tree/compatible')
MODEL = Path('/proc/device-tree/model')
# Those in /sys/kernel/debug need root. galcore is the driver of generation 1 (RV1126, RV1109).
DRIVER_VERSIONS = (
    Path('/sys/module/rknpu/version'),
    Path('/sys/kernel/debug/rknpu/version'),
    Path('/sys/module/galcore/version'),
    Path('/sys/kernel/debug/gc/version'),
)
SOC = re.compile(r'rockchip,(r[kv]\d{4}b?)s?')


def detect_soc(compatible: Path = COMPATIBLE) -> str | None:
    """
    Return the Rockchip chip of this board ('rv1126', 'rk3588', ...); None on other machines.

    A device tree lists the board first and the chip last. RK3588S counts as RK3588, since it runs
    the same models.
    """
    for name in reversed(_text(compatible).split('\0')):
        match = SOC.fullmatch(name)
        if match:
            return match.group(1)
    return None


def board_model(model: Path = MODEL) -> str | None:
    """Return the name of this board in its device tree; None if there is none."""
    return _text(model).strip('\0\n ') or None


def npu_driver_version(files: tuple[Path, ...] = DRIVER_VERSIONS) -> str | None:
    """Return the version of the NPU driver, such as '0.9.8'; None if it is not readable."""
    for file in files:
        match = re.search(r'\d+(?:\.\d+)+', _text(file))
        if match:
            return match.group()
    return None


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding='utf-8', errors='replace')
    except OSError:
        return ''
