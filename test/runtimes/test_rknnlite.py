"""The fallback through Rockchip's Python package, on a stand-in of each generation."""

import gc
import json
import sys

import numpy as np
import pytest
import rknnlite_standin

from superpoint_rknn.runtimes.rknn.rknnlite import RknnliteRuntime
from superpoint_rknn.runtimes.runtime import ModelError, RuntimeUnavailableError

IMAGE = np.random.default_rng(1).integers(0, 256, (16, 24), np.uint8)
LOGITS = np.random.default_rng(2).normal(size=(1, 65, 2, 3)).astype(np.float32)
RAW = np.random.default_rng(3).normal(size=(1, 8, 2, 3)).astype(np.float32)
PACKAGES = {1: ('rknn_toolkit_lite', '1.7.5'), 2: ('rknn-toolkit-lite2', '2.3.2')}


def install(generation, version, folder, monkeypatch):
    """Put a package `rknnlite` on the path, and say that it was installed."""
    name, _ = PACKAGES[generation]
    package = folder / 'rknnlite' / 'api'
    package.mkdir(parents=True)
    (folder / 'rknnlite' / '__init__.py').touch()
    (package / '__init__.py').write_text(
        f'from rknnlite_standin import RKNNLite{generation} as RKNNLite\n'
    )
    metadata = folder / f'{name.replace("-", "_")}-{version}.dist-info' / 'METADATA'
    metadata.parent.mkdir()
    metadata.write_text(f'Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n')
    monkeypatch.syspath_prepend(folder)
    for module in ('rknnlite', 'rknnlite.api'):
        # Set first: what is imported from here on is then forgotten after the test.
        monkeypatch.setitem(sys.modules, module, None)
        monkeypatch.delitem(sys.modules, module)
    return getattr(rknnlite_standin, f'RKNNLite{generation}')


@pytest.fixture(params=[1, 2], ids=['v1', 'v2'])
def engine(request, tmp_path, monkeypatch):
    engine = install(request.param, PACKAGES[request.param][1], tmp_path, monkeypatch)
    monkeypatch.setattr(engine, 'outputs', (LOGITS, RAW))
    yield engine
    assert engine.live == 0


@pytest.fixture
def card(model):
    content = {'input': {'size': [16, 24]}}
    model.with_suffix('.json').write_text(json.dumps(content))


@pytest.mark.usefixtures('card')
def test_gives_logits_and_float_descriptors(engine, model):
    runtime = RknnliteRuntime(model)
    assert runtime.name in ('rknn_toolkit_lite 1.7.5', 'rknn-toolkit-lite2 2.3.2')
    assert runtime.input.shape == (1, 1, 16, 24)
    assert runtime.descriptors.shape == (1, 8, 2, 3)
    assert runtime.descriptors.dtype == np.float32
    assert runtime.descriptors.quantization is None
    assert runtime.input_table is None
    descriptors = np.zeros((8, 2, 3), np.float32)
    np.testing.assert_array_equal(runtime.infer(IMAGE, descriptors), LOGITS[0])
    np.testing.assert_array_equal(descriptors, RAW[0])
    np.testing.assert_array_equal(runtime.infer(IMAGE, None), LOGITS[0])
    np.testing.assert_array_equal(engine.last.last_input[0, :, :, 0], IMAGE)
    assert list(runtime.stages_ms) == ['inference']
    runtime.close()


@pytest.mark.usefixtures('card')
def test_outputs_are_known_by_shape(engine, model, monkeypatch):
    monkeypatch.setattr(engine, 'outputs', (RAW, LOGITS))
    runtime = RknnliteRuntime(model)
    np.testing.assert_array_equal(runtime.infer(IMAGE, None), LOGITS[0])
    runtime.close()


def test_the_card_must_state_the_size(engine, model):
    with pytest.raises(ModelError, match=r'superpoint\.json: states no "input": {"size"'):
        RknnliteRuntime(model)


@pytest.mark.parametrize(
    'card',
    [
        '[]',
        '{"input": null}',
        '{"input": []}',
        '{"input": {"size": null}}',
        '{"input": {"size": 16}}',
        '{"input": {"size": "ab"}}',
        '{"input": {"size": {}}}',
        '{"input": {"size": [16]}}',
        '{"input": {"size": [16, 24, 1]}}',
        '{"input": {"size": [-1, 5]}}',
        '{"input": {"size": [0, 24]}}',
        '{"input": {"size": [true, 8]}}',
        '{"input": {"size": [16.0, 24]}}',
        '{"input": {"size": ["16", "24"]}}',
    ],
)
def test_a_card_with_another_size(engine, model, card):
    model.with_suffix('.json').write_text(card)
    with pytest.raises(ModelError, match=r'superpoint\.json: '):
        RknnliteRuntime(model)


@pytest.mark.usefixtures('card')
@pytest.mark.parametrize(
    'options', [{'mean': 0.0}, {'std': 255.0}, {'pass_through': 'true'}], ids=str
)
def test_what_the_package_can_not_do_is_refused(engine, model, options):
    with pytest.raises(RuntimeUnavailableError, match=r'leave input\.mean'):
        RknnliteRuntime(model, **options)


@pytest.mark.usefixtures('card')
@pytest.mark.parametrize(
    ('attribute', 'value', 'kind', 'reason'),
    [
        ('load_code', -1, ModelError, 'could not load it'),
        ('init_code', -1, RuntimeUnavailableError, 'could not open the NPU'),
        ('load_error', Exception('no such chip'), ModelError, 'load it: Exception: no such chip'),
        (
            'init_error',
            OSError('no NPU'),
            RuntimeUnavailableError,
            'chip, .* old: OSError: no NPU',
        ),
        ('outputs', None, RuntimeUnavailableError, 'first inference: .*returned nothing'),
        ('outputs', (LOGITS,), RuntimeUnavailableError, 'returned 1 outputs'),
        ('outputs', (LOGITS, RAW[0]), ModelError, 'descriptors: shape'),
        ('error', Exception('NPU is gone'), RuntimeUnavailableError, 'NPU is gone'),
    ],
)
def test_what_goes_wrong_at_the_start(engine, model, monkeypatch, attribute, value, kind, reason):
    monkeypatch.setattr(engine, attribute, value)
    with pytest.raises(kind, match=reason):
        RknnliteRuntime(model)


@pytest.mark.usefixtures('card')
@pytest.mark.parametrize(
    ('attribute', 'value'), [('outputs', None), ('error', Exception('timeout'))]
)
def test_an_error_costs_one_image(engine, model, monkeypatch, attribute, value):
    runtime = RknnliteRuntime(model)
    with monkeypatch.context() as context:
        context.setattr(engine, attribute, value)
        with pytest.raises(RuntimeError, match='inference'):
            runtime.infer(IMAGE, None)
    np.testing.assert_array_equal(runtime.infer(IMAGE, None), LOGITS[0])
    runtime.close()
    with pytest.raises(RuntimeError, match='is closed'):
        runtime.infer(IMAGE, None)


READ_ONLY = np.zeros((8, 2, 3), np.float32)
READ_ONLY.flags.writeable = False


@pytest.mark.usefixtures('card')
@pytest.mark.parametrize(
    ('image', 'descriptors', 'reason'),
    [
        (IMAGE[:8], None, r'image: \(8, 24\) uint8'),
        (IMAGE.astype(np.float32), None, 'image: .* float32'),
        (IMAGE, np.zeros((8, 2, 3), np.uint8), 'descriptors: .* uint8'),
        (IMAGE, np.zeros((4, 8, 2, 3), np.float32), r'descriptors: \(4, 8, 2, 3\)'),
        (IMAGE, READ_ONLY, 'descriptors: a read-only array'),
    ],
)
def test_arrays_that_do_not_fit(engine, model, image, descriptors, reason):
    runtime = RknnliteRuntime(model)
    with pytest.raises(ValueError, match=reason):
        runtime.infer(image, descriptors)
    runtime.close()


class Cycle:
    """An object that only the cyclic garbage collector can free."""

    live = 0

    def __init__(self):
        self.me = self
        Cycle.live += 1

    def __del__(self):
        Cycle.live -= 1


@pytest.mark.usefixtures('card')
@pytest.mark.parametrize(('version', 'guarded'), [('2.3.2', True), ('2.5.0', False)])
def test_cycles_are_collected_where_the_package_leaves_them(
    model, tmp_path, monkeypatch, version, guarded
):
    engine = install(2, version, tmp_path, monkeypatch)
    monkeypatch.setattr(engine, 'outputs', (LOGITS, RAW))
    runtime = RknnliteRuntime(model)
    gc.disable()
    try:
        most = 0
        for _ in range(40):
            Cycle()
            runtime.infer(IMAGE, None)
            most = max(most, Cycle.live)
    finally:
        gc.enable()
        gc.collect()
        runtime.close()
    assert (most <= 8) == guarded


@pytest.mark.usefixtures('card')
def test_without_the_package(model, monkeypatch):
    monkeypatch.setitem(sys.modules, 'rknnlite', None)
    monkeypatch.setitem(sys.modules, 'rknnlite.api', None)
    with pytest.raises(RuntimeUnavailableError, match=r'rknnlite can not be used: .* install'):
        RknnliteRuntime(model)
