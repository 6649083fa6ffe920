"""The command on emulated boards on which everything is right."""

from superpoint_rknn.board_report.judge import judge
from superpoint_rknn.board_report.points import FAIL, PASS


def by_name(report):
    return {point.name: point for point in judge(report)}


def test_all_points_pass_on_a_board_that_computes_what_the_cpu_does(board, capsys):
    code, report = board.report()
    points = by_name(report)
    failed = [point for point in points.values() if point.status == FAIL]
    assert (code, failed) == (0, [])
    assert len(report['models']) == 2
    for model in report['models']:
        for image in model['images']:
            assert image['identical']
            assert image['equal_bytes'] == image['keypoints_within_1px'] == 1
            assert image['cosine'] > 0.99999
        assert model['ramp'] == {'equal_logits': 1, 'equal_descriptors': 1, 'explained_by': None}
        assert points[f'{model["file"]}: golden outputs, photograph'].status == PASS
    assert '0 failed' in capsys.readouterr().out


def test_the_text_has_the_articles_rows_and_fits_an_issue(board):
    _, report = board.report()
    text = (board.output / 'report.md').read_text()
    assert len(text) < 65536
    rows = [line.split(' | ') for line in text.splitlines() if line.startswith('| ')]
    article = {row[0].strip('| '): row[-1].strip('| ') for row in rows if len(row) == 5}
    assert article['inputs\\_set, the library normalises and quantizes'] == '33'
    assert article['inputs\\_set, pass-through'] == '1'
    assert article['outputs\\_get, both outputs as float'] == '19'
    assert article['outputs\\_get, both outputs raw'] == '4'
    measured = {row['name'] for row in report['models'][0]['times'] if row['calls']}
    expected = {'inputs_set_normal', 'inputs_set_pass_through', 'run', 'outputs_float'}
    expected |= {'outputs_raw_descriptors', 'outputs_raw', 'outputs_logits', 'inference_copy'}
    if board.generation == 2:
        expected |= {'inference_zero_copy', *(f'run_core_mask_{m}' for m in (1, 2, 3, 4, 7))}
    assert measured == expected
    host = {row['name'] for row in report['host_times'] if row['calls']}
    assert host >= {'decode_numpy', 'describe_numpy', 'convert_to_map', 'convert_to_points'}


def test_reports_name_no_folder_user_or_host(board, monkeypatch):
    monkeypatch.setattr('platform.node', lambda: 'secrethost')
    board.model().with_suffix('.json').write_text('{"input": 5}')  # an error with a path
    code, _ = board.report()
    assert code == 1
    for name in ('report.json', 'report.md'):
        text = (board.output / name).read_text()
        assert str(board.folder) not in text
        assert 'secrethost' not in text
        assert board.model().with_suffix('.json').name.replace('_', '') in text.replace(
            '\\', ''
        ).replace('_', '')


def test_analyze_reads_the_recorded_outputs(board):
    from superpoint_rknn.analyze.board_record import read_record

    board.report('--model', 'superpoint')
    record = read_record(board.output / board.model().stem / 'photograph')
    assert record.image.shape == (400, 640)
    assert record.descriptors.shape == (256, 50, 80)
    assert record.quantization.zero_point == (136 if board.generation == 1 else 8)
