"""The folder for rknn-toolkit 1.7, and the script in it."""

import ast
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from superpoint_rknn import cli
from superpoint_rknn.convert.command import convert
from superpoint_rknn.network.network import float_graph
from superpoint_rknn.quantize.calibration import calibration_image, ramp_image
from superpoint_rknn.runtimes.model_files import read_card

SIZE = (64, 96)
STANDIN = Path(__file__).parent / 'rknn_toolkit1_standin'
DETECTOR = {
    'Conv_convPa_22': 'float32',
    'Relu_convPa_relu_23': 'float32',
    'Conv_convPb_24': 'float32',
    'attach_semi/out0_0': 'float32',
}


@pytest.fixture
def folder(weights_file, frames, tmp_path):
    convert(weights_file, frames, tmp_path / 'small_rv1126', 'rv1126', SIZE)
    return tmp_path / 'small_rv1126'


@pytest.fixture
def interpreter(tmp_path):
    """Interpreter that has the stand-in; drops the first argument, -E, which would hide it."""
    path = tmp_path / 'python'
    path.write_text(f'#!/bin/sh\nshift\nPYTHONPATH={STANDIN} exec {sys.executable} "$@"\n')
    path.chmod(0o755)
    return path


def test_files_of_the_folder(folder):
    assert sorted(path.name for path in folder.iterdir()) == [
        *('README.txt', 'calibration', 'convert.py', 'dataset.txt', 'settings.json'),
        *('small_rv1126.json', 'superpoint.onnx'),
    ]
    settings = json.loads((folder / 'settings.json').read_text())
    assert settings == {'target': 'rv1126', 'output': 'small_rv1126.rknn'}
    readme = (folder / 'README.txt').read_text()
    for text in (
        'RV1126, model input 64x96',
        '1.7.5',
        '--precompile',
        'small_rv1126.rknn',
        '4 im',
    ):
        assert text in readme
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]  # no temporary files


def test_calibration_images_are_single_channel_arrays(folder, frames):
    names = (folder / 'dataset.txt').read_text().split()
    images = [*(calibration_image(frame, SIZE) for frame in frames), ramp_image(SIZE)]
    assert len(names) == len(images)
    for name, image in zip(names, images, strict=True):
        array = np.load(folder / name, allow_pickle=False)
        assert array.dtype == np.uint8
        assert array.shape == (64, 96, 1)
        np.testing.assert_array_equal(array[:, :, 0], image.grey)
    card = read_card(folder / 'small_rv1126.rknn')
    assert [entry['sha256'] for entry in card['calibration']] == [i.sha256 for i in images]


def test_network_is_the_float_network(folder, weights, frames, run_onnx):
    model = onnx.load(folder / 'superpoint.onnx')
    onnx.checker.check_model(model, full_check=True)
    assert [opset.version for opset in model.opset_import] == [
        12
    ]  # the newest that the toolkit supports
    image = calibration_image(frames[0], SIZE).grey.astype(np.float32)
    expected = run_onnx(float_graph(weights, SIZE), image)
    for output, wanted in zip(run_onnx(model, image), expected, strict=True):
        np.testing.assert_array_equal(output, wanted)


def test_model_card_of_the_folder(folder, weights_file):
    card = read_card(folder / 'small_rv1126.rknn')
    assert card['input'] == {'size': [64, 96], 'mean': 0, 'std': 1}
    assert card['target'] == 'rv1126'
    assert card['weights']['sha256'] == hashlib.sha256(weights_file.read_bytes()).hexdigest()
    assert card['licence'].startswith('Apache-2.0')


def test_script_is_valid_in_python_3_6(folder):
    ast.parse((folder / 'convert.py').read_text(), feature_version=(3, 6))


def run_script(folder, interpreter, *arguments):
    command = [interpreter, '-E', folder / 'convert.py', *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_script_leaves_the_detector_in_float(folder, interpreter):
    assert run_script(folder, interpreter).returncode == 0
    settings = json.loads((folder / 'small_rv1126.rknn').read_text())
    assert settings['layers'] == DETECTOR
    assert settings['config'] == {
        'mean_values': [[0]],
        'std_values': [[1]],
        'quantized_dtype': 'asymmetric_affine-u8',
        'target_platform': ['rv1126'],
        'output_optimize': 1,
        'force_builtin_perm': False,
    }


def test_script_quantizes_all_layers_on_request(folder, interpreter):
    assert run_script(folder, interpreter, '--all-8-bit').returncode == 0
    assert json.loads((folder / 'small_rv1126.rknn').read_text())['layers'] == {}


def test_script_precompiles_on_a_board(folder, interpreter):
    assert run_script(folder, interpreter, '--precompile', 'c3d9').returncode == 0
    settings = json.loads((folder / 'small_rv1126.rknn').read_text())
    assert settings['compiled'] == {'target': 'rv1126', 'device': 'c3d9'}
    assert not list(folder.glob('*.compiled'))


def test_failed_precompilation_keeps_the_converted_file(folder, interpreter):
    result = run_script(folder, interpreter, '--precompile', 'unplugged')
    assert result.returncode == 1
    assert 'init_runtime returned -1' in result.stderr
    assert json.loads((folder / 'small_rv1126.rknn').read_text())['layers'] == DETECTOR


def test_configuration_without_the_detector_is_refused(folder, interpreter):
    """The layer names of the toolkit are known only from its documentation."""
    script = (folder / 'convert.py').read_text()
    (folder / 'convert.py').write_text(script.replace("'convPa'", "'another'"))
    result = run_script(folder, interpreter)
    assert result.returncode == 1
    assert 'no layer another' in result.stderr
    assert not (folder / 'small_rv1126.rknn').exists()


def command(tmp_path, frames, *more):
    import cv2

    cv2.imwrite(str(tmp_path / 'a.png'), frames[0].image)
    arguments = ['--target', 'rv1109', '--images', str(tmp_path / 'a.png'), '--size', '64x96']
    return cli.main(['convert', *arguments, '-o', str(tmp_path / 'out'), *more])


def test_command_writes_the_folder(tmp_path, frames, capsys):
    assert command(tmp_path, frames) == 0
    assert '2 calibration images' in capsys.readouterr().out
    assert (tmp_path / 'out' / 'out.json').is_file()


def test_command_runs_the_given_toolkit(tmp_path, frames, interpreter, capsys):
    assert command(tmp_path, frames, '--toolkit', str(interpreter)) == 0
    assert 'out.rknn' in capsys.readouterr().out
    settings = json.loads((tmp_path / 'out' / 'out.rknn').read_text())
    assert settings['config']['target_platform'] == ['rv1109']


def test_command_reports_a_failure_of_the_toolkit(tmp_path, frames, capsys):
    assert command(tmp_path, frames, '--toolkit', sys.executable) == 1
    assert 'exit code 1' in capsys.readouterr().err
    assert not (tmp_path / 'out' / 'out.rknn').exists()


def test_existing_folder_is_not_changed(folder, weights_file, frames):
    before = sorted(folder.rglob('*'))
    with pytest.raises(FileExistsError, match='exists already'):
        convert(weights_file, frames, folder, 'rv1126', SIZE)
    assert sorted(folder.rglob('*')) == before


def test_full_disk_leaves_no_file(tmp_path, frames):
    """A limit of the file size simulates a full disk."""
    code = (
        'import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20));'
        'from superpoint_rknn import cli; sys.exit(cli.main(sys.argv[1:]))'
    )
    import cv2

    cv2.imwrite(str(tmp_path / 'a.png'), frames[0].image)
    arguments = ['--target', 'rv1126', '--images', 'a.png', '--size', '64x96', '-o', 'out']
    result = subprocess.run(
        [sys.executable, '-c', code, 'convert', *arguments],
        cwd=tmp_path,
        env={'PYTHONPATH': str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    assert 'File too large' in result.stderr.splitlines()[-1]
    assert [path.name for path in tmp_path.iterdir()] == ['a.png']
