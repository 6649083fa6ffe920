"""Networks whose tensors are stored in a file beside the model, as PyTorch exports them."""

import os
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from superpoint_rknn.network.network import float_graph
from superpoint_rknn.network.weights import load_weights
from superpoint_rknn.runtimes.model_files import find_weights
from superpoint_rknn.runtimes.onnx import external_data
from superpoint_rknn.runtimes.onnx.runtime import OnnxRuntime
from superpoint_rknn.runtimes.runtime import ModelError

SIZE = (64, 72)
NAME = 'network.onnx.data'


@pytest.fixture(scope='module')
def weights():
    return load_weights(find_weights(''))


@pytest.fixture
def path(weights, tmp_path):
    """A network with all tensors in the file NAME; `change` is applied to its initializers."""
    path = tmp_path / 'network.onnx'
    onnx.save(
        float_graph(weights, SIZE),
        path,
        save_as_external_data=True,
        location=NAME,
        size_threshold=0,
    )
    return path


def refused(path):
    with pytest.raises(ModelError) as error:
        OnnxRuntime(path, std=1.0)
    assert str(error.value).startswith(f'{path}: ')
    return str(error.value)


def set_entry(path, key, value):
    """Change an entry of the external data of the first tensor."""
    model = onnx.load(path, load_external_data=False)
    entries = model.graph.initializer[0].external_data
    for entry in list(entries):
        if entry.key == key:
            entries.remove(entry)
    if value is not None:
        entries.add(key=key, value=value)
    path.write_bytes(model.SerializeToString())


def test_they_are_read_exactly(path, weights, tmp_path):
    embedded = tmp_path / 'embedded.onnx'
    onnx.save(float_graph(weights, SIZE), embedded)
    image = np.random.default_rng(0).integers(0, 256, SIZE, np.uint8)
    found, expected = (OnnxRuntime(each, std=1.0).infer(image, None) for each in (path, embedded))
    assert np.array_equal(found, expected)
    read = load_weights(path, 1.0)
    for name, kernel in weights.kernels.items():
        assert np.array_equal(read.kernels[name], kernel)


def test_the_model_id_depends_on_them(path):
    before = OnnxRuntime(path, std=1.0).model
    data = path.with_name(NAME)
    content = bytearray(data.read_bytes())
    content[0] ^= 1
    data.write_bytes(content)
    assert OnnxRuntime(path, std=1.0).model != before


def test_a_link_to_the_folder_of_the_files(path, tmp_path):
    folder = tmp_path / 'snapshot'  # as in the cache of Hugging Face
    folder.mkdir()
    for name in (path.name, NAME):
        (folder / name).symlink_to(path.with_name(name))
    OnnxRuntime(folder / path.name, std=1.0)


@pytest.mark.parametrize('name', ['/etc/passwd', '../passwd', 'folder/data', '', '.', '..'])
def test_other_folders_are_refused(path, name):
    set_entry(path, 'location', name)
    assert refused(path).endswith(f'is stored in {name!r}, expected a file beside the model')


def test_a_link_to_another_folder_is_refused(path, tmp_path):
    elsewhere = tmp_path / 'elsewhere'
    elsewhere.mkdir()
    shutil.move(path.with_name(NAME), elsewhere)
    path.with_name(NAME).symlink_to(elsewhere / NAME)
    assert 'expected a file beside the model' in refused(path)


def test_a_missing_file(path):
    path.with_name(NAME).unlink()
    assert refused(path).endswith(f'{NAME!r}, which is missing: copy it beside the model')


@pytest.mark.parametrize(
    ('key', 'value'),
    [('offset', '-4'), ('offset', '999999999'), ('offset', 'x'), ('length', '99999999')],
)
def test_data_outside_of_the_file(path, key, value):
    set_entry(path, key, value)
    assert 'outside of its' in refused(path)


def test_data_of_another_length(path):
    set_entry(path, 'length', '8')
    assert 'can not load this model' in refused(path)
    with pytest.raises(ValueError, match=str(path)):
        load_weights(path, 1.0)


def test_files_that_are_too_large_are_not_read(path, monkeypatch):
    with path.open('r+b') as file:
        os.truncate(file.fileno(), external_data.MAX_BYTES + 1)  # sparse
    read = Path.read_bytes
    monkeypatch.setattr(Path, 'read_bytes', lambda each: pytest.fail(f'{each} is read'))
    assert f'expected at most {external_data.MAX_BYTES} in all' in refused(path)
    monkeypatch.setattr(Path, 'read_bytes', read)


def test_external_data_that_is_too_large_is_not_read(path):
    with path.with_name(NAME).open('r+b') as file:
        os.truncate(file.fileno(), external_data.MAX_BYTES + 1)
    assert f'{NAME}: ' in refused(path)


def test_other_kinds_of_files_are_not_read(path):
    path.unlink()
    os.mkfifo(path)
    assert refused(path).endswith('not a regular file')


def test_tensors_that_share_their_data_are_bounded_in_all(path, monkeypatch):
    size = path.with_name(NAME).stat().st_size
    monkeypatch.setattr(external_data, 'MAX_BYTES', size)
    OnnxRuntime(path, std=1.0)
    set_entry(path, 'offset', '0')
    set_entry(path, 'length', str(size))  # the data of all tensors
    assert f'the tensors have more than {size} bytes in all' in refused(path)
