"""Parameter files of nodes, as `superpoint_rknn extract --params` reads them."""

import pytest

from superpoint_rknn.extract.parameters import PARAMETERS, read_parameters


def test_values_that_yaml_changes_are_read_as_by_the_nodes(tmp_path):
    path = tmp_path / 'given.yaml'
    path.write_text(
        '/**:\n  ros__parameters:\n    mask:\n    model: ~\n    npu: {zero_copy: on}\n'
        '    detector: {threshold: 1e-3, subpixel: yes, grid: [2, 3]}\n'
        '    input: {pass_through: no, mean: 0}\n'
    )
    values = read_parameters([path], ['detector.border:=0', 'input_range:=auto'])
    assert (values['mask'], values['model'], values['input.pass_through']) == ('', '', 'false')
    assert (values['npu.zero_copy'], values['detector.subpixel']) == (True, True)
    assert repr((values['detector.threshold'], values['input.mean'])) == '(0.001, 0.0)'
    assert (values['detector.grid'], values['input_range']) == ((2, 3), 'auto')


def test_parameters_of_running_nodes_are_ignored(tmp_path):
    pytest.importorskip('rclpy')
    from superpoint_rknn.nodes.superpoint.parameters import PARAMETERS as SUPERPOINT
    from superpoint_rknn.nodes.tracker.parameters import PARAMETERS as TRACKER

    path = tmp_path / 'given.yaml'
    names = {p.name for p in (*SUPERPOINT, *TRACKER)} - PARAMETERS.keys()
    assert 'descriptors.rate' in names
    given = '\n'.join(f'    {name}: 1' for name in names)
    path.write_text(f'superpoint:\n  ros__parameters:\n{given}\n')
    assert read_parameters([path], []) == read_parameters([], [])


def test_names_like_those_of_parameters_in_the_section_of_another_node(tmp_path):
    path = tmp_path / 'given.yaml'
    path.write_text('usb_cam: {ros__parameters: {masks: 1, borders: 2}}')
    assert read_parameters([path], []) == read_parameters([], [])
