"""Boards that are wrong on purpose: the report names what is wrong."""

import json
from dataclasses import replace

import numpy as np
import pytest
from rknn_standin import Format, TensorType
from test_board_report import by_name

from superpoint_rknn.board_report import command, session
from superpoint_rknn.board_report.points import FAIL, PASS, WARN
from superpoint_rknn.runtimes.model_files import find_model


@pytest.fixture
def points(board, capsys):
    """Function that reports on a faulty board; returns the points, without the model's name."""

    def points(*faults):
        board.faults = list(faults)
        code, report = board.report('--model', 'superpoint')
        found = {
            name.removeprefix(f'{board.model().name}: '): point
            for name, point in by_name(report).items()
        }
        assert code == any(point.status == FAIL for point in found.values())
        assert 'Traceback' not in capsys.readouterr().out
        return found

    return points


def failed(points):
    return {name for name, point in points.items() if point.status == FAIL}


def shift_zero_point(standin):
    semi, desc = standin.outputs
    standin.set_tensors(standin.inputs[0], semi, replace(desc, zp=desc.zp + 12))


def swap_outputs(standin):
    semi, desc = standin.outputs
    network = standin.network
    standin.set_tensors(standin.inputs[0], desc, semi)
    standin.compute(lambda pixels, raw, logits: network(pixels, logits, raw))


def write_nhwc(standin):
    network = standin.network

    def transposed(pixels, *outputs):
        network(pixels, *outputs)
        for output in outputs:
            output[:] = output.transpose(1, 2, 0).copy().reshape(output.shape)

    standin.compute(transposed)


def state_nhwc(standin):
    semi, desc = standin.outputs
    network = standin.network
    by_cell = [replace(t, dims=(1, *t.dims[2:], t.dims[1]), fmt=Format.NHWC) for t in (semi, desc)]
    standin.set_tensors(standin.inputs[0], *by_cell)

    def channels_last(pixels, *outputs):
        channels_first = [np.empty(o.transpose(2, 0, 1).shape, o.dtype) for o in outputs]
        network(pixels, *channels_first)
        for output, values in zip(outputs, channels_first, strict=True):
            output[:] = values.transpose(1, 2, 0)

    standin.compute(channels_last)


def half_descriptors(standin):
    semi, desc = standin.outputs
    network = standin.network
    half = replace(desc, type=TensorType.FLOAT16, qnt_type=0, scale=1.0, zp=0)
    standin.set_tensors(standin.inputs[0], semi, half)

    def dequantized(pixels, logits, descriptors):
        raw = np.empty(descriptors.shape, desc.dtype)
        network(pixels, logits, raw)
        descriptors[:] = (raw.astype(np.float32) - desc.zp) * desc.scale

    standin.compute(dequantized)


def test_a_zero_point_other_than_the_cards(points, board):
    found = points(shift_zero_point)
    assert failed(found) == {
        'model card',
        'golden outputs, photograph',
        'golden outputs, polygons',
    }
    stated = 136 if board.generation == 1 else 8
    text = f'descriptors: zero point {stated + 12}, the card states {stated}'
    assert found['model card'].finding == text
    assert 'The zero point of the descriptors' in found['golden outputs, photograph'].meaning


def test_swapped_outputs_work_and_are_a_warning(points):
    found = points(swap_outputs)
    assert failed(found) == set()
    assert found['order of outputs'].status == WARN
    assert 'swapped' in found['order of outputs'].finding


def test_outputs_in_another_layout_than_stated(points):
    found = points(write_nhwc)
    meaning = found['golden outputs, polygons'].meaning
    assert 'logits are NHWC in memory' in meaning
    assert 'descriptors are NHWC in memory' in meaning
    assert found['input'].status == PASS


def test_outputs_that_are_stated_as_nhwc_work_and_are_a_warning(points):
    found = points(state_nhwc)
    assert failed(found) == set()
    assert found['layout'].status == WARN


def test_float_where_raw_was_asked_for(points):
    found = points(lambda standin: standin.always_float())
    assert failed(found) == {'raw outputs'}
    assert 'wrote float where raw bytes were asked for' in found['raw outputs'].meaning


def test_a_model_whose_descriptors_are_not_quantized(points):
    found = points(half_descriptors)
    assert failed(found) == {'model card', 'raw descriptors'}
    assert found['raw descriptors'].finding == 'the descriptors are float32'
    assert found['golden outputs, photograph'].status == PASS


def test_a_library_without_conversion_to_float(points):
    found = points(lambda standin: standin.reject_float())
    assert failed(found) == set()


def test_a_slow_input_path(points):
    found = points(lambda standin: standin.delay('rknn_inputs_set', 15))
    assert failed(found) == {'input path'}
    assert 'Slow input path' in found['input path'].meaning


def test_an_input_table_that_is_not_what_the_library_does(points, board):
    card = json.loads(board.card.read_text())
    card['input']['mean'] = 20.0
    board.card.write_text(json.dumps(card))
    found = points()
    assert 'input' in failed(found)
    explained = 'unchanged bytes' if board.generation == 1 else 'top bit flipped'
    assert explained in found['input'].finding


def test_a_normalisation_that_no_table_explains(points):
    found = points(lambda standin: standin.set_normalisation(0, 255))
    assert failed(found) == {'input'}
    assert 'neither x nor x ^ 0x80 explains it' in found['input'].finding


def test_the_library_of_the_other_generation(points, board):
    other = {1: 'rk3588', 2: 'rv1126'}[board.generation]
    board.start(chip=other)
    found = points()
    assert 'library' in failed(found)
    assert found['library'].meaning.startswith(f'Wrong library generation: {other} needs')


@pytest.mark.parametrize(
    ('code', 'text'),
    [(-11, 'made for another driver'), (-10, 'made for another driver'), (-13, 'says what to do')],
)
def test_a_model_made_for_another_driver(points, code, text):
    found = points(lambda standin: standin.fail('rknn_init', code, 9))
    assert failed(found) == {'runs'}
    assert f'({code})' in found['runs'].finding
    assert text in found['runs'].meaning


def test_a_chip_without_a_shipped_model(board, monkeypatch):
    monkeypatch.setattr(command, 'find_model', find_model)
    monkeypatch.setattr(command, 'detect_soc', lambda: 'rk3562')
    code, report = board.report()
    assert code == 1
    runs = by_name(report)['superpoint_400x640_u8.onnx: runs']
    assert runs.status == FAIL
    assert 'no .rknn file is shipped for rk3562: convert one' in runs.finding


def test_a_model_made_for_another_chip(points, board):
    card = json.loads(board.card.read_text())
    board.card.write_text(json.dumps({**card, 'target': 'rk3576'}))
    assert failed(points()) == {'target'}


def test_inferences_that_fail(points):
    found = points(lambda standin: standin.fail('rknn_run', -2, 99))
    assert failed(found) == {'runs'}
    assert 'RKNN_ERR_TIMEOUT' in found['runs'].finding


def test_clocks_that_are_too_low(points, monkeypatch):
    state = dict.fromkeys(session.board_state())
    state |= {'cpu_mhz': 2400, 'cpu_max_mhz': 2400, 'npu_mhz': 300, 'npu_max_mhz': 1000}
    state |= {'npu_governor': 'powersave', 'temperature_c': 60}
    monkeypatch.setattr(session, 'board_state', lambda: state)
    found = points()
    assert found['clocks'].status == WARN
    assert found['clocks'].finding == 'NPU at 300 of 1000 MHz (governor powersave)'
    monkeypatch.setattr(session, 'board_state', lambda: state | {'npu_mhz': 1000})
    assert points()['clocks'].status == PASS
    hot = state | {'npu_mhz': 1000, 'temperature_c': 92}
    monkeypatch.setattr(session, 'board_state', lambda: hot)
    assert points()['clocks'].finding == '92 degrees Celsius'


def test_odd_texts_and_readings_of_the_board_do_not_prevent_a_report(points, monkeypatch):
    state = dict.fromkeys(session.board_state()) | {'temperature_c': -2e6, 'cpu_mhz': -1}
    monkeypatch.setattr(session, 'board_state', lambda: state)

    def rename(standin):
        semi, desc = standin.outputs
        renamed = replace(desc, name='|<b>' * 60)
        standin.set_tensors(standin.inputs[0], semi, renamed)

    assert failed(points(rename)) == set()
