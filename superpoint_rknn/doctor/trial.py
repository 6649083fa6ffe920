"""A trial of one model on one runtime, in a thread that may be abandoned."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from superpoint_rknn.extractor import Extractor
from superpoint_rknn.files import write_atomically
from superpoint_rknn.runtimes.model_files import resolve_normalisation
from superpoint_rknn.runtimes.outputs import built_in_image, network_faults
from superpoint_rknn.runtimes.runtime import Runtime, TensorSpec

REPETITIONS = 3  # the first inference is slower; the last one is reported


class Trial(threading.Thread):
    """
    A thread that opens a runtime, runs the model on an image and closes the runtime.

    A vendor's library may block for ever: call `join(timeout)`, then check `is_alive()` and
    `stage`.
    path: the model. open_runtime: opens it. image: (height, width) uint8 grey; None: the built-in
    one.
    """

    def __init__(self, path: Path, open_runtime: Callable[[], Runtime], image: np.ndarray | None):
        super().__init__(name='doctor_trial', daemon=True)
        self.stage = 'opening the model'
        self.runtime: dict[str, Any] | None = None  # name, model, tensors
        self.inference: dict[str, Any] | None = None  # stage times, keypoints
        self.recorded: dict[str, np.ndarray] | None = None  # image, logits, descriptors
        self.advice: list[str] = []
        self._path = path
        self._open_runtime = open_runtime
        self._image = image

    def run(self) -> None:
        try:
            runtime = self._open_runtime()
        except Exception as error:  # any error is a finding of the doctor
            self.advice.append(str(error))
            return
        try:
            self.runtime = describe_runtime(runtime, self._path)
            self.stage = 'inference'
            self._infer(runtime)
        except Exception as error:
            self.advice.append(f'inference failed: {error}')
        finally:
            self.stage = 'closing the runtime'
            runtime.close()

    def _infer(self, runtime: Runtime) -> None:
        extractor = Extractor(runtime)
        grey = built_in_image(*extractor.network_size) if self._image is None else self._image
        raw = extractor.new_descriptor_map()
        for _ in range(REPETITIONS):
            detection = extractor.detect(grey, raw)
        start = time.perf_counter()
        extractor.describe(detection)
        stages = extractor.stages_ms | {'describe': 1e3 * (time.perf_counter() - start)}
        image = extractor.model_input(grey)
        self.recorded = {
            'image': image,
            'logits': runtime.infer(image, raw).copy(),
            'descriptors': raw,
        }
        self.advice += network_faults(runtime)
        self.inference = {
            'stages_ms': {stage: round(duration, 3) for stage, duration in stages.items()},
            'keypoints': len(detection.keypoints),
            'descriptor_range': [raw.min().item(), raw.max().item()],
            'rss_mb': _resident_megabytes(),
        }


def write_record(folder: Path, recorded: dict[str, np.ndarray], report: dict[str, Any]) -> None:
    """
    Write what `superpoint_rknn analyze --board` reads: outputs.npz and report.json.

    recorded: 'image' (H, W) uint8, 'logits' (65, H/8, W/8) float32, 'descriptors' raw.
    report: with the runtime as `describe_runtime` returns it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = dict(recorded)
    np.savez_compressed(folder / 'outputs.npz', **arrays)
    write_json(folder / 'report.json', report)


def write_json(path: Path, report: dict[str, Any]) -> None:
    """Write a report as JSON."""
    write_atomically(path, f'{json.dumps(report, indent=2)}\n'.encode())


def describe_runtime(runtime: Runtime, path: Path) -> dict[str, Any]:
    """Return name, model, input table and tensors of a runtime that loaded the model at `path`."""
    return {
        'engine': runtime.name,
        'model': runtime.model,
        'path': str(path),
        'pass_through': getattr(runtime, 'pass_through', None),
        'input_table': _input_table(runtime, path),
        'tensors': [_tensor(t) for t in (runtime.input, runtime.logits, runtime.descriptors)],
    }


def _input_table(runtime: Runtime, path: Path) -> str:
    """Text that says how an image's bytes become the input, and why."""
    quantization = runtime.input.quantization
    if quantization is None or getattr(runtime, 'pass_through', True) is False:
        return 'none: the runtime normalises and quantizes'
    mean, std = resolve_normalisation(path, quantization, None, None)
    formula = (
        f'(x - {mean:g}) / {std:g} / scale {quantization.scale:g} + zero point '
        f'{quantization.zero_point}'
    )
    if runtime.input_table is None:
        return f"identity: the image's bytes are the input, since x = {formula}"
    flipped = np.array_equal(runtime.input_table.view(np.uint8), np.arange(256) ^ 0x80)
    return f'{"x ^ 0x80" if flipped else "not the identity"}, one look-up per pixel: {formula}'


def _tensor(spec: TensorSpec) -> dict[str, Any]:
    quantization = spec.quantization
    return {
        'name': spec.name,
        'shape': list(spec.shape),
        'dtype': str(spec.dtype),
        'scale': quantization.scale if quantization else None,
        'zero_point': quantization.zero_point if quantization else None,
    }


def _resident_megabytes() -> float | None:
    """Resident memory of this process [MB]; None if the kernel does not report it."""
    try:
        status = Path('/proc/self/status').read_text(encoding='ascii')
    except OSError:
        return None
    lines = dict(line.split(':', 1) for line in status.splitlines() if ':' in line)
    return round(int(lines['VmRSS'].split()[0]) / 1024, 1) if 'VmRSS' in lines else None
