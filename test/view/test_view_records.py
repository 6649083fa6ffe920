"""Records of the viewer: conversion, encoding, and reading by the script."""

import importlib.util
import io
import struct
import sys
from unittest.mock import MagicMock

import numpy as np
import pytest

from superpoint_rknn.view import records, viewer


@pytest.fixture
def script(monkeypatch):
    """The module of the viewer process, without rerun."""
    for name in ('rerun', 'rerun.blueprint', 'rerun.blueprint.encodings'):
        monkeypatch.setitem(sys.modules, name, MagicMock())
    spec = importlib.util.spec_from_file_location('viewer_script', viewer.SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_points_have_rerun_s_origin_and_rgb_colours():
    xy = np.array([[0.0, 0.0], [10.5, 3.0]])
    bgr = np.array([[1, 2, 3], [4, 5, 6]], np.uint8)
    record = records.picture('/a', 7.0, records.points(xy, bgr))
    assert record['points'].tolist() == [[0.5, 0.5], [11.0, 3.5]]
    assert record['point_colours'].tolist() == [[3, 2, 1], [6, 5, 4]]
    assert (record['kind'], record['entity'], record['time']) == ('picture', '/a', 7.0)


def test_the_script_reads_what_is_encoded(script):
    lines = np.array([[[0, 0], [1, 1]], [[2, 2], [3, 5]]], np.float32)
    sent = [
        records.picture('/lines', 1.5, records.lines(lines, np.zeros((2, 3), np.uint8))),
        records.record('text', '/diagnostics', 2.0, text='no images: ä', level='WARN'),
    ]
    stream = io.BytesIO(b''.join(map(records.encode, sent)))
    received = list(script.records(stream))
    assert [str(record['entity']) for record in received] == ['/lines', '/diagnostics']
    assert float(received[0]['time']) == 1.5
    assert received[0]['lines'].tolist() == (lines + 0.5).tolist()
    assert str(received[1]['text']) == 'no images: ä'


def test_the_script_ends_at_an_incomplete_record(script):
    whole = records.encode(records.scalars('/a', 0.0, {'x': 1.0}))
    for length in (2, 4, len(whole) - 1):
        assert len(list(script.records(io.BytesIO(whole + whole[:length])))) == 1


def test_script_and_records_agree_on_sizes(script):
    assert (script.GAP, script.LEGEND_SIZE) == (records.GAP, records.LEGEND_SIZE)


def test_no_field_needs_pickle():
    data = records.encode(records.record('layout', '', 0.0, cameras=np.array(['/a', '/b'])))
    assert struct.unpack('<I', data[:4]) == (len(data) - 4,)
    with np.load(io.BytesIO(data[4:]), allow_pickle=False) as fields:
        assert fields['cameras'].tolist() == ['/a', '/b']


def test_matches_join_the_two_images():
    old, new = np.zeros((30, 40), np.uint8), np.full((20, 50), 90, np.uint8)
    picture = records.matches(
        '/c', 0.0, [old, new], np.array([[1.0, 2.0]]), np.array([[5.0, 6.0]])
    )
    canvas = picture['image']
    assert canvas.shape == (30, 40 + records.GAP + 50)
    assert canvas[10, 80] == 90
    assert picture['lines'].tolist() == [[[1.5, 2.5], [5 + 40 + records.GAP + 0.5, 6.5]]]


def test_the_number_of_drawn_matches_is_bounded():
    grey = np.zeros((100, 100), np.uint8)
    for count, drawn in ((0, 0), (3, 3), (1000, records.MAX_LINES)):
        xy = np.random.default_rng(0).uniform(0, 99, (count, 2))
        picture = records.matches('/c', 0.0, [grey, grey], xy, xy)
        assert len(picture['lines']) == drawn


def test_the_legend_shows_the_colours_of_the_ages():
    canvas = records.legend()['image'][:, :, ::-1].astype(int)  # BGR
    for colour in records.COLOURS.astype(int):
        assert (canvas == colour).all(axis=2).sum() > 1000


@pytest.fixture
def logged(script):
    """What `Plots` logs: entities with values, or with names and colours of lines."""
    script.rr.Scalars = list
    script.rr.SeriesLines = lambda **style: style
    return []


@pytest.fixture
def plots(script, logged):
    def log(entity, what, static=False):
        logged.append((entity, what))

    return script.Plots(MagicMock(log=log))


def test_a_group_of_lines_never_grows(plots, logged):
    plots.log('/rates/cam0', ['image', 'keypoints'], [30.0, 10.0])
    plots.log('/rates/cam0', ['tracks', 'keypoints'], [20.0, 9.0])
    assert logged[0][1]['names'] == ['cam0/image', 'cam0/keypoints']
    assert logged[1] == ('/rates/cam0/1', [30.0, 10.0])
    assert logged[2][1]['names'] == ['cam0/tracks']
    # A line without a new value keeps its last one.
    assert logged[3:] == [('/rates/cam0/1', [30.0, 9.0]), ('/rates/cam0/2', [20.0])]


def test_the_lines_of_a_plot_have_different_colours(script, plots, logged):
    plots.log('/missing/superpoint', ['dropped'], [0.0])
    plots.log('/missing/tracker', ['dropped'], [0.0])
    plots.log('/missing/view', ['discarded'], [1.0])
    plots.log('/missing/superpoint', ['dropped', 'failed'], [0.0, 1.0])
    plots.log('/rates/camera', ['dropped'], [0.0])
    styles = [what for _, what in logged if isinstance(what, dict)]
    *missing, other = [style['colors'][0] for style in styles]
    assert len(set(missing)) == 4
    assert (missing[0], missing[3]) == (script.COLOURS['dropped'], script.COLOURS['failed'])
    assert (other, styles[4]['names']) == (missing[0], ['dropped'])
