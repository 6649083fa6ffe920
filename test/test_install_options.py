"""The CMake options that leave out models, with the project of models/ by itself."""

import shutil
import subprocess
from pathlib import Path

import pytest

from superpoint_rknn.runtimes import model_files
from superpoint_rknn.runtimes.model_files import default_model, find_weights
from superpoint_rknn.runtimes.runtime import ModelError

MODELS = Path(__file__).resolve().parents[1] / 'models'
CHIPS = {path.stem.rpartition('_')[2] for path in MODELS.glob('*.rknn')}

pytestmark = pytest.mark.skipif(shutil.which('cmake') is None, reason='needs cmake')


def configure(folder, *options):
    command = ['cmake', '-S', MODELS, '-B', folder, *(f'-D{option}' for option in options)]
    return subprocess.run(command, capture_output=True, text=True)


def installed(folder, *options):
    """Install the models below a folder; return the names of the installed files."""
    configured = configure(folder / 'build', *options)
    assert configured.returncode == 0, configured.stderr
    command = ['cmake', '--install', folder / 'build', '--prefix', folder]
    subprocess.run(command, check=True, capture_output=True)
    return {path.name for path in (folder / 'share/superpoint_rknn/models').iterdir()}


def test_all_models_by_default(tmp_path):
    assert installed(tmp_path) == {p.name for p in MODELS.iterdir()} - {'CMakeLists.txt'}


@pytest.mark.parametrize('chips', ['rk3588', 'rk3568;rk3576', 'none'])
def test_models_of_the_named_chips_only(tmp_path, chips):
    left_out = CHIPS - set(chips.split(';'))
    names = installed(tmp_path, f'SUPERPOINT_RKNN_CHIPS={chips}')
    expected = {
        path.name
        for path in MODELS.iterdir()
        if path.name != 'CMakeLists.txt' and path.stem.rpartition('_')[2] not in left_out
    }
    assert names == expected
    assert 'superpoint_small_400x640_u8.onnx' in names  # CPUs' models always


def test_an_installation_without_float_weights_says_so(tmp_path, monkeypatch):
    names = installed(tmp_path, 'SUPERPOINT_RKNN_FLOAT_WEIGHTS=OFF')
    assert {p.name for p in MODELS.iterdir()} - names - {'CMakeLists.txt'} == {
        'superpoint.npz',
        'superpoint_small.npz',
    }
    models = tmp_path / 'share/superpoint_rknn/models'
    monkeypatch.setattr(model_files, 'shipped_models', lambda: models)
    for model in ('superpoint', '', default_model(None)):
        with pytest.raises(ModelError, match=r'npz: the float weights are not installed: build'):
            find_weights('', str(model))


def test_a_chip_without_a_model_is_an_error_that_lists_the_chips(tmp_path):
    result = configure(tmp_path, 'SUPERPOINT_RKNN_CHIPS=rk3588;rk3399')
    assert result.returncode == 1
    message = ' '.join(result.stderr.split())
    assert "no model for 'rk3399'; expected all, none or some of: rk3568, rk3576" in message
