"""Clocks, governors, temperature and memory of the board, from files that the kernel exports."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

ROOT = Path('/')
NPU_NAME = re.compile(r'npu|galcore', re.IGNORECASE)


def board_state(root: Path = ROOT) -> dict[str, float | str | None]:
    """
    Return the present state; None for what the kernel does not say.

    root: folder that contains sys/ and proc/.
    Of several CPU clusters, the fastest one counts, on which the measurements run.
    """
    cpu = _fastest_cpu(root)
    npu = _npu(root)
    memory = _memory(root)
    return {
        'cpu_mhz': _number(cpu / 'scaling_cur_freq', 1e-3) if cpu else None,
        'cpu_max_mhz': _number(cpu / 'cpuinfo_max_freq', 1e-3) if cpu else None,
        'cpu_governor': _word(cpu / 'scaling_governor') if cpu else None,
        'npu_mhz': _number(npu / 'cur_freq', 1e-6) if npu else None,
        'npu_max_mhz': _npu_maximum(npu) if npu else None,
        'npu_governor': _word(npu / 'governor') if npu else None,
        'temperature_c': _temperature(root),
        'memory_mb': memory.get('MemTotal'),
        'memory_available_mb': memory.get('MemAvailable'),
    }


def _fastest_cpu(root: Path) -> Path | None:
    folders = root.glob('sys/devices/system/cpu/cpu[0-9]*/cpufreq')
    known = [(_number(folder / 'cpuinfo_max_freq') or 0, folder) for folder in folders]
    return max(known)[1] if known else None


def _npu(root: Path) -> Path | None:
    devices = sorted(root.glob('sys/class/devfreq/*'))
    return next((device for device in devices if NPU_NAME.search(device.name)), None)


def _npu_maximum(npu: Path) -> float | None:
    frequencies = _text(npu / 'available_frequencies').split()
    if frequencies and all(frequency.isdecimal() for frequency in frequencies):
        return max(map(int, frequencies)) * 1e-6
    return _number(npu / 'max_freq', 1e-6)


def _temperature(root: Path) -> float | None:
    """Temperature of the hottest zone [degrees Celsius]."""
    files = root.glob('sys/class/thermal/thermal_zone*/temp')
    return max(_known(_number(file, 1e-3) for file in files), default=None)


def _memory(root: Path) -> dict[str, float]:
    """Fields of /proc/meminfo [MB]."""
    fields = re.findall(r'^(Mem\w+): +(\d+) kB$', _text(root / 'proc/meminfo'), re.MULTILINE)
    return {name: round(int(kilobytes) / 1024, 1) for name, kilobytes in fields}


def _known(numbers: Iterable[float | None]) -> list[float]:
    return [number for number in numbers if number is not None]


def _number(file: Path, factor: float = 1.0) -> float | None:
    text = _text(file).strip()
    return round(int(text) * factor, 3) if re.fullmatch(r'-?\d{1,15}', text) else None


def _word(file: Path) -> str | None:
    text = _text(file).strip()
    return text if re.fullmatch(r'[\w-]{1,40}', text, re.ASCII) else None


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding='ascii', errors='replace')
    except OSError:
        return ''
