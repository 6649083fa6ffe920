"""YAML from others: bounded, without aliases, and with the values that ROS reads."""

import pytest

from superpoint_rknn.bounded_yaml import parse_yaml

pytest.importorskip('yaml')


def test_scalars_are_text_or_have_the_types_of_ros():
    text = "{a: 1, b: 1e-3, c: on, d: ~, e: '1', f: 2001-01-01, 7: [x, .5], g: 0x_, h: -0x10}"
    assert parse_yaml(text) == {
        'a': '1',
        'b': '1e-3',
        'c': 'on',
        'd': '~',
        'e': '1',
        'f': '2001-01-01',
        '7': ['x', '.5'],
        'g': '0x_',
        'h': '-0x10',
    }
    typed = {'a': 1, 'b': 0.001, 'c': True, 'd': None, 'e': '1', 'f': '2001-01-01'}
    assert parse_yaml(text, typed=True) == typed | {'7': ['x', 0.5], 'g': '0x_', 'h': -16}
    assert parse_yaml('1:2' * 30, typed=True) == '1:2' * 30


@pytest.mark.parametrize(
    ('text', 'reason'),
    [
        ('a: &x [*x]', r'line 1: the alias \*x: write the value itself'),
        ('a: &x 1\nb: [*x, *x]', r'line 2: the alias \*x'),
        ('[' * 17, 'line 1: nested deeper than 16'),
        ('[' + '1,' * 20_000 + ']', 'line 1: more than 20000 values'),
        ('a: 1\na: 2', "line 2: 'a' is there twice"),
        ('? [a]\n: 1', 'line 1: a list or mapping as a key'),
        ('%YAML 9.9\n---\na: 1', 'line 1: not valid YAML: found incompatible YAML document'),
    ],
)
def test_what_is_refused(text, reason):
    for typed in (False, True):
        with pytest.raises(ValueError, match=rf'^{reason}'):
            parse_yaml(text, typed)
