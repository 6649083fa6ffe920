"""ROS descriptors of parameters, and warnings about unknown names."""

import pytest

from superpoint_rknn.nodes.common.parameters import describe
from superpoint_rknn.nodes.superpoint.parameters import PARAMETERS as SUPERPOINT
from superpoint_rknn.nodes.tracker.parameters import PARAMETERS as TRACKER
from superpoint_rknn.settings import Parameter

FILE = """
/**:
  ros__parameters:
    resiz: crop
    max_tracks: 100
    detector: {nms: 3, nms_radius: 5}
    cameras: [cam0]
    cam0: {mask: ''}
    cam7: {mask: ''}
    use_sim_time: false
    start_type_description_service: true
    diagnostic_updater: {period: 1.0}
    qos_overrides: {/cam0/keypoints: {publisher: {depth: 2}}}
"""


def test_numbers_have_a_range_of_their_type():
    (real,) = describe(Parameter('a', 0.5, 'Help.', 'px', (0, 1))).floating_point_range
    assert (real.from_value, real.to_value, real.step) == (0.0, 1.0, 0.0)
    (whole,) = describe(Parameter('a', 1, 'Help.', 'px', (0, 7))).integer_range
    assert (whole.from_value, whole.to_value, whole.step) == (0, 7, 1)


@pytest.mark.parametrize(
    ('parameter', 'constraints'),
    [
        (Parameter('a', 'x', 'Help.', choices=('x', 'y')), 'one of x, y'),
        (Parameter('a', (1, 1), 'Help.', limits=(1, 64)), 'rows and columns, 1 to 64 each'),
        (Parameter('a', True, 'Help.'), ''),
        (Parameter('a', 1, 'Help.', limits=(0, 7)), ''),
        (Parameter('a', '', 'Help.', read_only=True), 'read-only while the node is configured'),
        (
            Parameter('a', 'x', 'Help.', choices=('x', 'y'), read_only=True),
            'one of x, y; read-only while the node is configured',
        ),
    ],
)
def test_choices_limits_of_lists_and_read_only_are_additional_constraints(parameter, constraints):
    assert describe(parameter).additional_constraints == constraints


def test_descriptions_have_help_and_unit():
    assert describe(Parameter('a', 0.5, 'Help.', 'px')).description == 'Help. [px]'
    assert describe(Parameter('a', 0.5, 'Help.')).description == 'Help.'


@pytest.mark.parametrize('table', [SUPERPOINT, TRACKER])
def test_names_are_unique(table):
    assert len({p.name for p in table}) == len(table)


NEAREST = {
    'resiz': ", the nearest is 'resize'",
    'max_tracks': '',
    'detector.nms': ", the nearest is 'detector.nms_radius'",
    'cam7.mask': ", the nearest is 'cam0.mask'",
    'cemras': ", the nearest is 'cameras'",
}


@pytest.mark.parametrize(
    ('module', 'known'), [('superpoint.node', set()), ('front_end', {'max_tracks'})]
)
def test_unknown_parameters_cause_one_warning_with_the_nearest_name(
    graph, tmp_path, module, known
):
    (tmp_path / 'given.yaml').write_text(FILE)
    process = graph.start(
        *('-m', f'superpoint_rknn.nodes.{module}'),
        *('--ros-args', '--params-file', str(tmp_path / 'given.yaml'), '-p', 'cemras:=[cam0]'),
    )
    graph.wait(lambda: 'onnxruntime' in process.log.read_text(), 'the model to be loaded')
    warnings = [line for line in process.log.read_text().splitlines() if 'WARN' in line]
    texts = [
        f"no parameter '{n}'{NEAREST[n]}; the value is ignored" for n in NEAREST.keys() - known
    ]
    assert sorted(line.partition('[superpoint]: ')[2] for line in warnings) == sorted(texts)
