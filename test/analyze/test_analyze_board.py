"""Recordings of a board, valid and malicious ones, compared with the PC."""

import io
import json
import shutil
import zipfile

import cv2
import numpy as np
import pytest

from superpoint_rknn import cli
from superpoint_rknn.analyze.board import analyze_board
from superpoint_rknn.analyze.board_record import read_record
from superpoint_rknn.analyze.integer_trace import IntegerTrace
from superpoint_rknn.quantize.calibration import calibration_image
from superpoint_rknn.runtimes.onnx.runtime import OnnxRuntime

SIZE = (64, 96)


@pytest.fixture(scope='module')
def recorded(network_file, frames, tmp_path_factory):
    """A folder as `doctor --record` writes it."""
    folder = tmp_path_factory.mktemp('recorded')
    picture = folder.with_suffix('.png')
    cv2.imwrite(str(picture), calibration_image(frames[1], SIZE).grey)
    command = ['doctor', '--model', str(network_file), '--image', str(picture)]
    assert cli.main([*command, '--record', str(folder)]) == 0
    return folder


@pytest.fixture
def record(recorded, tmp_path):
    """Function that writes a recording with changed arrays or another report."""

    def write(changes=None, report=None):
        folder = tmp_path / 'record'
        shutil.copytree(recorded, folder)
        if changes is not None:
            with np.load(recorded / 'outputs.npz') as arrays:
                np.savez(folder / 'outputs.npz', **{**arrays, **changes})
        if report is not None:
            (folder / 'report.json').write_text(report)
        return folder

    return write


def outputs(network_file, image):
    """Outputs of a board for this model input."""
    runtime = OnnxRuntime(network_file)
    raw = np.empty(runtime.descriptors.shape[1:], np.uint8)
    logits = runtime.infer(np.ascontiguousarray(image), raw)
    return {'logits': logits, 'descriptors': raw}


def test_board_that_computes_the_network(weights, network_file, recorded):
    analysis = analyze_board(weights, IntegerTrace(network_file), read_record(recorded))
    (finding,) = analysis.findings
    assert finding.kind == 'agrees'
    assert analysis.within_one_step == 1
    equal = analysis.comparisons['8 bits on the PC', 'board'].summary()
    assert equal['descriptor_cosine_mean'] == pytest.approx(1)
    assert equal['keypoints_within_1px'] == 1
    against_float = analysis.comparisons['float', 'board'].summary()
    assert 0.99 < against_float['descriptor_cosine_mean'] < 0.9999
    assert against_float == analysis.comparisons['float', '8 bits on the PC'].summary()


def test_float_descriptors_need_no_quantization(weights, network_file, recorded, record):
    descriptors = read_record(recorded).outputs.descriptors
    folder = record({'descriptors': descriptors.astype(np.float16)})
    analysis = analyze_board(weights, IntegerTrace(network_file), read_record(folder))
    assert analysis.findings[0].kind == 'agrees'
    assert analysis.within_one_step is None


@pytest.mark.parametrize(
    ('mistake', 'words'),
    [
        (lambda grey: np.rint(grey / 255).astype(np.uint8), 'divided by 255 twice'),
        (lambda grey: np.where(grey > 0, 255, 0).astype(np.uint8), 'all but black was clipped'),
        (lambda grey: grey ^ np.uint8(0x80), 'top bit of the bytes was flipped'),
        (lambda grey: grey.T.reshape(SIZE), 'rows and columns of the image were swapped'),
        (lambda grey: np.random.default_rng(0).permuted(grey), 'No known mistake'),
    ],
)
def test_input_mistakes_are_recognized(weights, network_file, recorded, record, mistake, words):
    image = read_record(recorded).image
    folder = record(outputs(network_file, mistake(image)))
    analysis = analyze_board(weights, IntegerTrace(network_file), read_record(folder))
    (finding,) = analysis.findings
    assert words in finding.text
    assert finding.advice


def test_output_mistakes_are_recognized(weights, network_file, recorded, record):
    sound = read_record(recorded)

    def as_nhwc(array):
        return np.ascontiguousarray(array.transpose(1, 2, 0)).reshape(array.shape)

    folder = record({'logits': as_nhwc(sound.logits), 'descriptors': as_nhwc(sound.descriptors)})
    network = IntegerTrace(network_file)
    (finding,) = analyze_board(weights, network, read_record(folder)).findings
    assert 'NHWC and were read as NCHW' in finding.text
    shutil.rmtree(folder)
    folder = record({'descriptors': sound.descriptors ^ np.uint8(0x80)})
    (finding,) = analyze_board(weights, network, read_record(folder)).findings
    assert 'uint8 and int8 were mixed up' in finding.text


@pytest.mark.parametrize(
    ('changes', 'reason'),
    [
        ({'image': np.zeros((60, 96), np.uint8)}, '60x96 is not divisible by 8'),
        ({'image': np.zeros((64, 96, 3), np.uint8)}, 'image: shape'),
        ({'image': np.zeros(SIZE, np.float32)}, 'image: float32, expected uint8'),
        ({'image': np.zeros((8, 8), np.uint8)}, r'logits: \(65, 8, 12\), expected \(65, 1, 1\)'),
        ({'logits': np.zeros((64, 8, 12), np.float32)}, r'logits: \(64, 8, 12\), expected'),
        ({'logits': np.full((65, 8, 12), np.nan, np.float32)}, 'logits: contains values that are'),
        ({'descriptors': np.zeros((256, 8, 9), np.uint8)}, r'expected \(C, 8, 12\)'),
        ({'descriptors': np.zeros((256, 8, 12), np.int32)}, 'descriptors: int32, expected'),
        ({'descriptors': np.array([[[print]]])}, 'descriptors: object, expected'),
    ],
)
def test_arrays_of_wrong_shape_or_dtype_are_refused(record, changes, reason):
    with pytest.raises(ValueError, match=reason):
        read_record(record(changes))


def test_malicious_archives_are_refused(record, tmp_path):
    folder = record()
    header = io.BytesIO()
    description = {'descr': '|u1', 'fortran_order': False, 'shape': (1 << 20, 1 << 20)}
    np.lib.format.write_array_header_1_0(header, description)
    with zipfile.ZipFile(folder / 'outputs.npz', 'w') as archive:
        archive.writestr('image.npy', header.getvalue())
    with pytest.raises(ValueError, match=r'image: shape \(1048576, 1048576\)'):
        read_record(folder)
    for content in (b'', b'no archive', (folder / 'outputs.npz').read_bytes()[:40]):
        (folder / 'outputs.npz').write_bytes(content)
        with pytest.raises(ValueError, match=r'outputs\.npz: '):
            read_record(folder)


@pytest.mark.parametrize(
    'content',
    [
        *('', 'null', '[]', '{}', '{"runtime": null}', '{"runtime": {"tensors": [1, 2, 3]}}'),
        '[' * 100_000,
        '{"runtime": {"engine": "e", "model": "m", "tensors": [0, 0, {"scale": 1}]}}',
        '{"runtime": {"engine": "e", "model": "m", "tensors": [0, 0, {"scale": NaN, '
        '"zero_point": 0}]}}',
    ],
)
def test_other_reports_are_refused(record, content):
    with pytest.raises(ValueError, match=r'report\.json: not a report of superpoint_rknn doctor'):
        read_record(record(report=content))


def test_command(network_file, recorded, tmp_path, capsys):
    html, figures = tmp_path / 'report.html', tmp_path / 'figures.json'
    command = ['analyze', '--model', str(network_file), '--board', str(recorded)]
    assert cli.main([*command, '-o', str(html), '--json', str(figures)]) == 0
    assert 'The board computes this network' in capsys.readouterr().out
    board = json.loads(figures.read_text())['board']
    assert set(board) == {
        *('engine', 'model', 'size', 'comparisons', 'descriptors_within_one_step', 'findings')
    }
    first = board['comparisons'][0]
    assert (first['true'], first['other']) == ('8 bits on the PC', 'board')
    content = html.read_text()
    assert 'On the board' in content
    assert content.count('<img') == 2  # histogram; heat maps and keypoints


def test_names_from_the_board_are_escaped(network_file, recorded, record, tmp_path):
    report = json.loads((recorded / 'report.json').read_text())
    report['runtime']['engine'] = '<script>alert(1)</script>'
    folder = record(report=json.dumps(report))
    html = tmp_path / 'report.html'
    command = ['analyze', '--model', str(network_file), '--board', str(folder)]
    assert cli.main([*command, '-o', str(html)]) == 0
    assert '<script' not in html.read_text()


def test_recording_of_another_size_is_refused(recorded, tmp_path, capsys):
    command = ['analyze', '--board', str(recorded), '-o', str(tmp_path / 'report.html')]
    assert cli.main(command) == 1
    error = capsys.readouterr().err
    assert 'the recorded image is 64x96' in error
    assert 'quantize --size 64x96' in error
    assert list(tmp_path.iterdir()) == []
