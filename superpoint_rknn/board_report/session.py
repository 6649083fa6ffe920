"""All measurements of the models, in a thread that may be abandoned."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from superpoint_rknn.board_report import times
from superpoint_rknn.board_report.agreement import compare, mistakes
from superpoint_rknn.board_report.golden import DECODE, Golden, load_goldens, load_image
from superpoint_rknn.board_report.input_paths import (
    compare_inputs,
    copied,
    input_table_of,
    output_report,
    ramp_image,
)
from superpoint_rknn.board_report.npu import NpuCalls
from superpoint_rknn.board_report.privacy import public_text
from superpoint_rknn.board_report.schema import CARD_TENSOR
from superpoint_rknn.board_report.state import board_state
from superpoint_rknn.doctor.trial import describe_runtime, write_record
from superpoint_rknn.extractor import keypoint_detector
from superpoint_rknn.features.quantization import BYTES
from superpoint_rknn.runtimes.model_files import model_id, read_card, shipped_network
from superpoint_rknn.runtimes.open import open_runtime
from superpoint_rknn.runtimes.outputs import network_faults
from superpoint_rknn.runtimes.rknn.errors import NpuError
from superpoint_rknn.runtimes.rknn.runtime import TOOLKIT_VERSION
from superpoint_rknn.runtimes.runtime import ModelError, Runtime


class Session(threading.Thread):
    """
    A thread that measures each model and appends what it finds to `models` and `host_times`.

    A vendor's library may block for ever: call `join(timeout)`, then check `is_alive()` and
    `stage`.
    paths: model files; the first is measured completely. soc: the chip. folder: receives the
    outputs of each model for `superpoint_rknn analyze --board`.
    on_stage: called in this thread at the start of each stage, since the library may crash.
    """

    def __init__(
        self,
        paths: list[Path],
        soc: str | None,
        folder: Path,
        on_stage: Callable[[Session], None],
    ):
        super().__init__(name='board_report', daemon=True)
        self.stage = 'start'
        self.models: list[dict[str, Any]] = []
        self.host_times: list[dict[str, Any]] = []
        self._paths = paths
        self._soc = soc
        self._folder = folder
        self._on_stage = on_stage

    def run(self) -> None:
        for path in self._paths:
            report: dict[str, Any] = _empty_report(path)
            self.models.append(report)
            try:
                self._measure(path, report, is_first=path == self._paths[0])
            except Exception as error:  # any error is a finding of the report
                report['error'] = self._error(error)

    def _measure(self, path: Path, report: dict[str, Any], is_first: bool) -> None:
        self._enter('reading the model', path)
        if self._soc and path.suffix == '.onnx':
            raise ModelError(
                f'no .rknn file is shipped for {self._soc}: convert one (docs/converting.md) and '
                'name it with --model'
            )
        content = path.read_bytes()
        report['sha256'] = model_id(path, content).rpartition('@')[2]
        toolkit = TOOLKIT_VERSION.search(content)
        report['toolkit'] = toolkit[1].decode() if toolkit else None
        report['card'], report['target'] = _card(path)
        report['network'] = _network(path)
        if path.suffix == '.rknn':
            try:
                self._call_directly(path, report, is_first)
            except (RuntimeError, ValueError) as error:
                report['library_error'] = self._error(error)
            if any(output['wrote_beyond'] for output in report['outputs']):
                return  # the buffers of the runtime are too small for such a library
        self._enter('opening the model', path)
        start = time.perf_counter()
        runtime = open_runtime(path)
        report['load_s'] = round(time.perf_counter() - start, 3)
        try:
            self._run_runtime(runtime, path, report, is_first)
        except Exception as error:  # recorded before the stage changes
            report['error'] = self._error(error)
        finally:
            self._enter('closing the model', path)
            runtime.close()
        if is_first and path.suffix == '.rknn':
            self._enter('zero copy', path)
            report['times'].append(times.zero_copy_row(path, _test_image(runtime)))

    def _call_directly(self, path: Path, report: dict[str, Any], is_first: bool) -> None:
        """Do what needs a context of its own: sizes of outputs, input paths, times."""
        self._enter('opening the model for direct calls', path)
        calls = NpuCalls(path)
        try:
            report['generation'] = calls.generation
            report['library'] = public_text(calls.version)
            report['driver'] = public_text(calls.driver)
            self._enter('input paths', path)
            table = input_table_of(calls, path)
            ramp = ramp_image(*calls.image.spec.shape[2:])
            normal = [copied(fetched) for fetched in calls.infer(ramp, pass_through=False)]
            report['outputs'] = [output_report(fetched) for fetched in normal]
            if calls.image.is_raw:
                report['ramp'] = compare_inputs(calls, ramp, normal, table)
            if is_first and not any(output['wrote_beyond'] for output in report['outputs']):
                self._enter('times', path)
                passed = None if np.array_equal(table.view(np.uint8), BYTES) else table
                cores = times.CORE_MASKS.get(self._soc or '', ())
                image = ramp_image(*calls.image.spec.shape[2:])
                for row in times.npu_rows(calls, image, passed, cores):
                    report['times'].append(row)
                    if row['name'] == 'inputs_set_pass_through':
                        report['state'] = board_state()
        finally:
            calls.close()

    def _run_runtime(
        self, runtime: Runtime, path: Path, report: dict[str, Any], is_first: bool
    ) -> None:
        """Compare with the golden outputs, and measure what the nodes do."""
        described = describe_runtime(runtime, Path(path.name))
        report['runtime'] = _runtime_report(described)
        self._enter('inference', path)
        report['faults'] = [public_text(fault) for fault in network_faults(runtime)]
        raw = np.empty(runtime.descriptors.shape[1:], runtime.descriptors.dtype)
        detector = keypoint_detector(*runtime.input.shape[2:])
        for name, golden in _goldens(report['network'], runtime).items():
            logits = runtime.infer(golden.image, raw)
            points = detector.detect(logits, DECODE)
            outputs = (logits, raw, runtime.descriptors.quantization)
            figures = compare(golden, *outputs, np.stack([points.x, points.y], 1))
            causes = mistakes(golden, *outputs)
            report['images'].append({'name': name, **figures, 'mistakes': causes})
            record = {'image': golden.image, 'logits': logits, 'descriptors': raw}
            write_record(self._folder / path.stem / name, record, {'runtime': described})
        if is_first:
            self._enter('times', path)
            image = _test_image(runtime)
            report['times'].append(times.inference_row('inference_copy', runtime, image))
            if path.suffix != '.rknn':
                report['state'] = board_state()
            logits = runtime.infer(image, raw)
            self.host_times += times.host_rows(logits, raw, runtime.descriptors.quantization)

    def _enter(self, stage: str, path: Path) -> None:
        self.stage = f'{stage}, {path.name}'
        self._on_stage(self)

    def _error(self, error: Exception) -> dict[str, Any]:
        causes = [e for e in (error, error.__cause__) if isinstance(e, NpuError)]
        return {
            'stage': public_text(self.stage),
            'text': public_text(str(error) or type(error).__name__),
            'code': causes[0].code if causes else None,
        }


def _empty_report(path: Path) -> dict[str, Any]:
    """Report of a model of which nothing is known yet."""
    unknown = ('sha256', 'target', 'toolkit', 'network', 'card', 'generation', 'library')
    later = ('driver', 'error', 'library_error', 'load_s', 'runtime', 'ramp', 'state')
    lists: dict[str, list] = {name: [] for name in ('outputs', 'faults', 'images', 'times')}
    return {'file': public_text(path.name), **dict.fromkeys((*unknown, *later)), **lists}


def _card(path: Path) -> tuple[dict[str, Any] | None, str | None]:
    """
    Return dtype, scale and zero point of the tensors in the model card, and its target.

    Raises ModelError if they are none.
    """
    card = read_card(path)
    if not card:
        return None, None
    tensors, target = {}, card.get('target')
    try:
        for name in ('input', 'descriptors'):
            stated = card.get(name)
            fields = stated if isinstance(stated, dict) else {}
            tensors[name] = {key: fields.get(key) for key in ('dtype', 'scale', 'zero_point')}
            CARD_TENSOR(tensors[name], name)
    except ValueError as error:
        raise ModelError(f'{path.with_suffix(".json")}: not a model card: {error}') from error
    return tensors, public_text(target) if isinstance(target, str) else None


def _network(path: Path) -> str | None:
    """Return the name of the shipped network that a model was made from; None: another one."""
    try:
        return shipped_network(path)
    except ValueError:
        return None


def _goldens(network: str | None, runtime: Runtime) -> dict[str, Golden]:
    """Return the golden outputs for a model; none for other networks and sizes."""
    if network is None:
        return {}
    goldens = load_goldens(network)
    return {n: g for n, g in goldens.items() if g.image.shape == runtime.input.shape[2:]}


def _test_image(runtime: Runtime) -> np.ndarray:
    height, width = runtime.input.shape[2:]
    image = load_image('photograph')
    return image if image.shape == (height, width) else ramp_image(height, width)


def _runtime_report(described: dict[str, Any]) -> dict[str, Any]:
    tensors = [{**tensor, 'name': public_text(tensor['name'])} for tensor in described['tensors']]
    keys = ('engine', 'pass_through', 'input_table')
    texts = {key: described[key] for key in keys}
    return {**texts, 'engine': public_text(described['engine']), 'tensors': tensors}
