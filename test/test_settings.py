"""Parameters defined by fields of dataclasses, and the validation of their values."""

from dataclasses import FrozenInstanceError, dataclass

import numpy as np
import pytest

from superpoint_rknn import parameters
from superpoint_rknn.settings import Parameter, ParameterGroup, parameter
from superpoint_rknn.tracking.tracker import TrackSettings


@dataclass(frozen=True)
class Lamp(ParameterGroup, prefix='lamp.'):
    on: bool = parameter(False, 'Lit.', read_only=True)
    level: int = parameter(3, 'Brightness.', limits=(0, 9))
    warmth: float = parameter(0.5, 'Share of red.', limits=(0, 1))
    place: str = parameter('desk', 'Where it stands.', name='at.place', choices=('desk', 'floor'))
    grid: tuple[int, int] = parameter((1, 2), 'Bulbs.', limits=(1, 4))
    names: tuple[str, ...] = parameter(('',), 'What people call it.')
    note: str = parameter('', 'Anything.')
    shade: np.ndarray | None = parameter(None, 'Image file.', is_file=True)
    serial: int = 7  # no parameter


def test_name_default_and_properties_of_a_field():
    names = [p.name for p in Lamp.parameters()]
    own = ['on', 'level', 'warmth', 'at.place', 'grid', 'names', 'note', 'shade']
    assert names == [f'lamp.{name}' for name in own]
    on, level, *_, shade = Lamp.parameters()
    assert on == Parameter('lamp.on', False, 'Lit.', read_only=True)
    assert level == Parameter('lamp.level', 3, 'Brightness.', limits=(0, 9))
    assert (shade.default, Lamp().shade) == ('', None)
    assert (Lamp.level, Lamp().serial) == (3, 7)


@pytest.mark.parametrize(
    ('field', 'values', 'rejected', 'expectation'),
    [
        ('on', (True, False), (1, 'maybe', ''), 'true or false'),
        ('level', (0, 9, np.uint8(4)), (-1, 10, 2.0, 'high', True), 'a whole number, 0 to 9'),
        ('warmth', (0, 1.0, np.float32(0.5)), (-0.01, 1.01, np.nan, 'red', True), '0 to 1'),
        ('place', ('desk', 'floor'), ('wall', 3, ['desk'], True), 'one of desk, floor'),
        (
            'grid',
            ((1, 4), [4, 1]),
            ((1, 5), (0, 1), (1,), (1, 2, 3), (1.0, 2), '12', 3),
            'rows and columns, 1 to 4 each',
        ),
        ('names', (('a', 'b'), ['']), ((1,), 1.5), 'a list of texts'),
        ('note', ('', 'x'), (['a'],), 'text'),
    ],
)
def test_values_are_accepted_or_rejected_with_name_value_and_expectation(
    field, values, rejected, expectation
):
    name = {'place': 'at.place'}.get(field, field)
    for value in values:
        held = getattr(Lamp(**{field: value}), field)
        assert held == (tuple(value) if isinstance(value, list) else value)
        assert type(held) is type(getattr(Lamp, field))
    for value in rejected:
        with pytest.raises(ValueError, match='lamp') as caught:
            Lamp(**{field: value})
        assert str(caught.value) == f'lamp.{name}: {value!r}, expected {expectation}'


LIST = 'lamp.names: {}, expected a list of texts{}'
QUOTES = '; put it in quotes, YAML reads it as something else'


@pytest.mark.parametrize(
    ('field', 'value', 'message'),
    [
        ('warmth', '1', "lamp.warmth: '1', expected 0 to 1; remove the quotes"),
        ('warmth', '1e-3', "lamp.warmth: '1e-3', expected 0 to 1; remove the quotes"),
        ('names', 'ab', LIST.format("'ab'", "; a single one also in brackets: ['ab']")),
        ('names', [True, False], LIST.format([True, False], QUOTES)),
        ('names', '', LIST.format("''", "; a single one also in brackets: ['']")),
        ('warmth', '2', "lamp.warmth: '2', expected 0 to 1"),
        ('on', '1', "lamp.on: '1', expected true or false"),
        ('note', [True], 'lamp.note: [True], expected text'),
        ('note', False, f'lamp.note: False, expected text{QUOTES}'),
        ('note', 5, f'lamp.note: 5, expected text{QUOTES}'),
    ],
)
def test_the_message_says_how_to_write_a_value_that_yaml_changed(field, value, message):
    with pytest.raises(ValueError, match='lamp') as caught:
        Lamp(**{field: value})
    assert str(caught.value) == message


def test_yaml_booleans_are_valid_for_booleans_and_choices_that_mean_the_same():
    for on in ('true', 'Yes', 'ON', 'y', True):
        assert Parameter('a', False, '').check(on) is True
        assert Parameter('a', 'auto', '', choices=('auto', 'true', 'false')).check(on) == 'true'
    for off in ('false', 'No', 'OFF', 'n', False):
        assert Parameter('a', True, '').check(off) is False
        assert Parameter('a', 'off', '', choices=('off', 'vins')).check(off) == 'off'


@pytest.mark.parametrize('nothing', [None, '~', 'null', [], ()])
def test_no_value_and_an_empty_list_mean_the_default(nothing):
    for p in Lamp.parameters():
        assert p.check(nothing) == p.default


def test_a_number_without_limits_may_be_nan():
    (mean,) = (p for p in parameters.SUPERPOINT if p.name == 'input.mean')
    assert np.isnan(mean.check(np.nan))
    assert mean.expectation == 'a number'
    with pytest.raises(ValueError, match=r'^input\.mean: 1000+\.\.\., expected a number$'):
        mean.check(10**400)


def test_a_group_is_created_from_values_of_parameters():
    values = {p.name: p.default for p in Lamp.parameters()} | {
        'lamp.level': 5,
        'lamp.grid': [3, 4],
    }
    values['lamp.shade'] = None
    assert Lamp.from_values(values) == Lamp(level=5, grid=(3, 4))
    with pytest.raises(ValueError, match=r'lamp\.level: 10'):
        Lamp.from_values(values | {'lamp.level': 10})


def test_a_group_is_frozen():
    with pytest.raises(FrozenInstanceError):
        Lamp().level = 4


def test_every_parameter_has_a_unique_name_a_valid_default_and_a_help_text():
    everything = (*parameters.SUPERPOINT, *TrackSettings.parameters())
    assert len({p.name for p in everything}) == len(everything)
    for p in everything:
        assert repr(p.check(p.default)) == repr(p.default)
        assert p.help.endswith('.'), p.name


def test_the_message_of_a_removed_parameter_names_its_replacement(monkeypatch):
    monkeypatch.setitem(parameters.REMOVED, 'old', 'use new instead')
    message = "the parameter 'old' was removed: use new instead"
    assert parameters.unknown_parameter('old', ['oldest']) == message


@pytest.mark.parametrize(
    ('name', 'nearest'),
    [
        ('detector.treshold', 'detector.threshold'),
        ('Detector.Threshold', 'detector.threshold'),
        ('threshold', 'detector.threshold'),  # without its group
        ('descriptor.rate', 'descriptors.rate'),
        ('detector.nms', 'detector.nms_radius'),
        ('max_keypoints', 'detector.max_keypoints'),
        ('descriptors_rate', 'descriptors.rate'),
        ('cam_mask', None),
        ('exposure', None),
    ],
)
def test_the_message_of_an_unknown_parameter_names_the_nearest(name, nearest):
    known = ['detector.threshold', 'detector.nms_radius', 'detector.max_keypoints', 'mask']
    expected = f"no parameter '{name}'" + (f", the nearest is '{nearest}'" if nearest else '')
    assert parameters.unknown_parameter(name, [*known, 'descriptors.rate']) == expected
