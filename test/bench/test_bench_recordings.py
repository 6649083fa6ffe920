import importlib.util
from dataclasses import replace

import numpy as np
import pytest

from superpoint_rknn.bench.recordings import (
    RecordedRuntime,
    load_recording,
    read_recording,
    recording_path,
    write_recording,
)
from superpoint_rknn.extractor import Extractor

SIZE = (96, 128)
MISSING = [p for p in ('onnx', 'onnxruntime', 'skimage') if importlib.util.find_spec(p) is None]


def test_a_written_recording_is_read_unchanged(recording, tmp_path):
    path = recording_path(tmp_path, SIZE)
    write_recording(path, recording)
    again = read_recording(path)
    for name in ('images', 'logits', 'raw'):
        assert np.array_equal(getattr(again, name), getattr(recording, name))
    assert (again.quantization, again.model) == (recording.quantization, recording.model)


@pytest.mark.parametrize('damage', ['cut', 'text', 'key', 'shape', 'pickle'])
def test_a_damaged_recording_raises_with_its_name(recording, tmp_path, damage):
    path = recording_path(tmp_path, SIZE)
    write_recording(path, recording)
    with np.load(path) as file:
        fields = dict(file)
    if damage == 'cut':
        path.write_bytes(path.read_bytes()[:-50])
    elif damage == 'text':
        path.write_text('no archive')
    elif damage == 'key':
        np.savez(path, **{k: v for k, v in fields.items() if k != 'raw'})
    elif damage == 'shape':
        np.savez(path, **(fields | {'logits': fields['logits'][:, :64]}))
    else:
        np.savez(path, **(fields | {'logits': np.array([None, {}], object)}))
    with pytest.raises(ValueError, match=path.name):
        read_recording(path)


def test_the_runtime_returns_the_recorded_outputs_in_turn(recording):
    runtime = RecordedRuntime(recording)
    raw = Extractor(runtime).new_descriptor_map()
    for index in (0, 1, 0):
        logits = runtime.infer(recording.images[0], raw)
        assert np.array_equal(logits, recording.logits[index])
        assert np.array_equal(raw, recording.raw[index])


def test_inference_without_a_descriptor_map(recording):
    runtime = RecordedRuntime(recording)
    assert np.array_equal(runtime.infer(recording.images[0], None), recording.logits[0])


@pytest.mark.skipif(bool(MISSING), reason=f'needs {MISSING}')
def test_a_recording_of_another_network_is_replaced(tmp_path):
    size = (400, 640)
    made = load_recording(tmp_path, size, count=1)
    assert np.array_equal(load_recording(tmp_path, size, count=1).logits, made.logits)
    name = made.model.partition('@')[0]
    replaced = replace(made, model=f'{name}@00000000', logits=np.zeros_like(made.logits))
    write_recording(recording_path(tmp_path, size), replaced)
    again = load_recording(tmp_path, size, count=1)
    assert again.model == made.model
    assert np.array_equal(again.logits, made.logits)
    assert read_recording(recording_path(tmp_path, size)).model == made.model
