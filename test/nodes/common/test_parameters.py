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
    ],
)
def test_choices_and_limits_of_lists_are_additional_constraints(parameter, constraints):
    assert describe(parameter).additional_constraints == constraints


def test_descriptions_have_help_unit_and_read_only():
    descriptor = describe(Parameter('a', 0.5, 'Help.', 'px', read_only=True))
    assert (descriptor.description, descriptor.read_only) == ('Help. [px]', True)
    descriptor = describe(Parameter('a', 0.5, 'Help.'))
    assert (descriptor.description, descriptor.read_only) == ('Help.', False)


@pytest.mark.parametrize('table', [SUPERPOINT, TRACKER])
def test_names_are_unique(table):
    assert len({p.name for p in table}) == len(table)


@pytest.mark.parametrize(
    ('module', 'unknown'),
    [
        ('superpoint.node', {'resiz', 'max_tracks', 'detector.nms', 'cam7.mask', 'cemras'}),
        ('front_end', {'resiz', 'detector.nms', 'cam7.mask', 'cemras'}),
    ],
)
def test_unknown_parameters_cause_a_warning(graph, tmp_path, module, unknown):
    (tmp_path / 'given.yaml').write_text(FILE)
    process = graph.start(
        *('-m', f'superpoint_rknn.nodes.{module}'),
        *('--ros-args', '--params-file', str(tmp_path / 'given.yaml'), '-p', 'cemras:=[cam0]'),
    )
    graph.wait(lambda: 'onnxruntime' in process.log.read_text(), 'the model to be loaded')
    warnings = [line for line in process.log.read_text().splitlines() if 'WARN' in line]
    superpoint = [line for line in warnings if '[superpoint]' in line]
    assert len(superpoint) == len(unknown)
    for name in unknown:
        assert any(f"no parameter '{name}'; the value is ignored" in s for s in superpoint), name
