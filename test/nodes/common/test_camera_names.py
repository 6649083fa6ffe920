import re

import pytest

from superpoint_rknn.nodes.common.camera_names import (
    check_cameras,
    groups_of,
    parameter_of,
    title_of,
    topic_of,
)


@pytest.mark.parametrize('names', [[''], ['cam0'], ['front/left', 'front/right', '_b2']])
def test_valid_names_are_accepted(names):
    check_cameras(names, stereo=False)


@pytest.mark.parametrize(
    ('names', 'stereo', 'reason'),
    [
        (['cam0', ''], False, "'' is not a valid name"),
        (['/cam0'], False, "'/cam0' is not a valid name"),
        (['cam0/'], False, "'cam0/' is not a valid name"),
        (['0cam'], False, "'0cam' is not a valid name"),
        (['~/cam'], False, "'~/cam' is not a valid name"),
        (['cam-0'], False, "'cam-0' is not a valid name"),
        (['{node}'], False, "'{node}' is not a valid name"),
        (['a', 'b', 'a'], False, "'a' is listed twice"),
        ([], False, '0 names, expected 1 to'),
        ([f'c{i}' for i in range(99)], False, '99 names, expected 1 to'),
        ([''], True, 'stereo: 1 cameras'),
        (['a', 'b', 'c'], True, "stereo: 3 cameras, ['a', 'b', 'c'], expected an even number"),
    ],
)
def test_invalid_names_raise(names, stereo, reason):
    with pytest.raises(ValueError, match=re.escape(reason)):
        check_cameras(names, stereo)


def test_names_of_topics_parameters_and_diagnostics():
    assert topic_of('', 'image') == 'image'
    assert topic_of('front/left', 'image') == 'front/left/image'
    assert parameter_of('front/left', 'mask') == 'front.left.mask'
    assert title_of('') == 'camera'
    assert title_of('cam0') == 'cam0'


def test_cameras_are_grouped_singly_or_in_pairs():
    assert groups_of(['a', 'b'], stereo=False) == [['a'], ['b']]
    assert groups_of(['a', 'b', 'c', 'd'], stereo=True) == [['a', 'b'], ['c', 'd']]
