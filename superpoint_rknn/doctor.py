"""
What runs here, and what to do about each thing that does not.

Looks at the board, the NPU's driver and library, and the model; runs one image through it.

Example:
-------
  superpoint_rknn doctor
  superpoint_rknn doctor --model superpoint_rk3588.rknn --image photo.png --record out/
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import platform
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from superpoint_rknn import __version__
from superpoint_rknn.doctor_report import render
from superpoint_rknn.extractor import Detection, Extractor
from superpoint_rknn.runtimes.board import board_model, detect_soc, npu_driver_version
from superpoint_rknn.runtimes.rknn_library import probe_libraries
from superpoint_rknn.runtimes.runtime import (
    EngineError,
    ModelError,
    Runtime,
    TensorSpec,
    default_model,
    open_runtime,
    resolve_normalisation,
)

IMAGES = 3  # the first is slower than the rest; the last one is reported


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument('--model', type=Path, help='network to try (default: as the node)')
    parser.add_argument(
        '--runtime', default='auto', choices=('auto', 'librknn', 'rknnlite', 'onnx')
    )
    parser.add_argument('--image', type=Path, help='image to run (default: a drawn one)')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the report as JSON too')
    parser.add_argument(
        '--record', type=Path, metavar='DIR', help="write the network's image and raw outputs"
    )


def run(arguments: argparse.Namespace) -> int:
    """Report; returns 0 only if an image went through the network."""
    report, recorded = examine(arguments.model, arguments.runtime, arguments.image)
    print(render(report))
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2) + '\n', encoding='utf-8')
    if arguments.record and recorded is not None:
        arguments.record.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(arguments.record / 'outputs.npz', **recorded)
        (arguments.record / 'report.json').write_text(json.dumps(report, indent=2) + '\n')
        print(f'outputs recorded in {arguments.record}')
    return 0 if report['inference'] else 1


def examine(
    model: Path | None, engine: str, image: Path | None
) -> tuple[dict[str, Any], dict[str, np.ndarray] | None]:
    """
    Report on this machine, and what one inference gave.

    The arrays are image (H, W), logits (65, H/8, W/8) and descriptors (256, H/8, W/8), raw.
    Raises ValueError if the image can't be read.
    """
    soc = detect_soc()
    advice: list[str] = []
    report: dict[str, Any] = {
        'system': _system(),
        'board': _board(soc, advice),
        'runtime': None,
        'inference': None,
        'advice': advice,
    }
    grey = _read(image) if image else None
    try:
        path = model or default_model(soc)
        if soc and path.suffix == '.onnx':
            advice.append(
                f'the network runs on the CPU: name one for {soc} by --model (the node: `model`)'
            )
        runtime = open_runtime(path, engine)
    except (EngineError, ModelError) as error:
        advice.append(str(error))
        return report, None
    try:
        report['runtime'] = _describe(runtime, path)
        recorded = _infer(runtime, grey, report)
    except RuntimeError as error:
        advice.append(f'inference failed: {error}')
        return report, None
    finally:
        runtime.close()
    return report, recorded


def _system() -> dict[str, str]:
    return {
        'superpoint_rknn': __version__,
        'machine': platform.machine(),
        'python': platform.python_version(),
        'numpy': np.__version__,
        'opencv': cv2.__version__,
    }


def _board(soc: str | None, advice: list[str]) -> dict[str, Any]:
    driver, libraries = npu_driver_version(), probe_libraries()
    if soc is None:
        advice.append('this is no Rockchip board: the CPU stands in for the NPU')
    elif driver is None:
        advice.append(
            'no NPU driver version can be read: load the driver (rknpu; on RV1126 galcore), or '
            'run as root to read /sys/kernel/debug'
        )
    if soc and all(probe.reason for probe in libraries):
        advice.append(
            "no usable RKNN library: install the board vendor's librknnrt.so, or librknn_api.so "
            'on RV1126 and RV1109'
        )
    return {
        'model': board_model(),
        'soc': soc,
        'npu_driver': driver,
        'libraries': [vars(probe) for probe in libraries],
        'rknnlite': importlib.util.find_spec('rknnlite') is not None,
    }


def _read(path: Path) -> np.ndarray:
    content = np.fromfile(path, np.uint8)
    grey = cv2.imdecode(content, cv2.IMREAD_GRAYSCALE) if content.size else None
    if grey is None:
        raise ValueError(f'{path} is not an image that OpenCV reads')
    return grey


def _drawn(height: int, width: int) -> np.ndarray:
    """Image with corners of every grey value, for machines without a picture at hand."""
    side = 24
    tiles = np.random.default_rng(0).integers(
        0, 256, (height // side + 1, width // side + 1), np.uint8
    )
    return np.ascontiguousarray(np.kron(tiles, np.ones((side, side), np.uint8))[:height, :width])


def _describe(runtime: Runtime, path: Path) -> dict[str, Any]:
    return {
        'engine': runtime.name,
        'model': runtime.model,
        'path': str(path),
        'pass_through': getattr(runtime, 'pass_through', None),
        'input_table': _input_table(runtime, path),
        'tensors': [_tensor(t) for t in (runtime.input, runtime.logits, runtime.descriptors)],
    }


def _input_table(runtime: Runtime, path: Path) -> str:
    """What an image's bytes go through, and why."""
    quantization = runtime.input.quantization
    if quantization is None or getattr(runtime, 'pass_through', True) is False:
        return 'none: the engine normalises and quantises'
    mean, std = resolve_normalisation(path, quantization, None, None)
    why = (
        f'(x - {mean:g}) / {std:g} / scale {quantization.scale:g} + zero point '
        f'{quantization.zero_point}'
    )
    if runtime.input_table is None:
        return f"identity: the image's bytes are the input, since x = {why}"
    flipped = np.array_equal(runtime.input_table.view(np.uint8), np.arange(256) ^ 0x80)
    return f'{"x ^ 0x80" if flipped else "not the identity"}, one look-up a pixel: {why}'


def _tensor(spec: TensorSpec) -> dict[str, Any]:
    quantization = spec.quantization
    return {
        'name': spec.name,
        'shape': list(spec.shape),
        'dtype': str(spec.dtype),
        'scale': quantization.scale if quantization else None,
        'zero_point': quantization.zero_point if quantization else None,
    }


def _infer(
    runtime: Runtime, grey: np.ndarray | None, report: dict[str, Any]
) -> dict[str, np.ndarray]:
    extractor = Extractor(runtime)
    grey = _drawn(*extractor.network_size) if grey is None else grey
    raw = extractor.new_raw()
    for _ in range(IMAGES):
        detection = extractor.detect(grey, raw)
    start = time.perf_counter()
    extractor.describe(detection)
    stages = extractor.stages_ms | {'describe': 1e3 * (time.perf_counter() - start)}
    report['inference'] = {
        'stages_ms': {stage: round(duration, 3) for stage, duration in stages.items()},
        'keypoints': len(detection.keypoints),
        'descriptor_range': [raw.min().item(), raw.max().item()],
        'rss_mb': _resident_megabytes(),
    }
    _judge_result(detection, report['advice'])
    image = extractor.network_image(grey)
    return {'image': image, 'logits': runtime.infer(image, raw).copy(), 'descriptors': raw}


def _judge_result(detection: Detection, advice: list[str]) -> None:
    if len(detection.keypoints) == 0:
        advice.append(
            'no keypoints were found: the input may be normalised wrongly (input.mean, '
            'input.std), or the model is not a SuperPoint with raw logits'
        )
    if detection.raw.min() == detection.raw.max():
        advice.append('the descriptor map is constant: the model or its quantisation is broken')


def _resident_megabytes() -> float | None:
    """Memory of this process [MB], where the kernel tells."""
    try:
        status = Path('/proc/self/status').read_text(encoding='ascii')
    except OSError:
        return None
    lines = dict(line.split(':', 1) for line in status.splitlines() if ':' in line)
    return round(int(lines['VmRSS'].split()[0]) / 1024, 1) if 'VmRSS' in lines else None
