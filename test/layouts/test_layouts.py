"""The files for RViz and Foxglove show the topics of the given cameras."""

import json

import pytest
from viewer_files import foxglove, rviz_displays

from superpoint_rknn import cli
from superpoint_rknn.layouts.camera_topics import camera_topics
from superpoint_rknn.layouts.foxglove import foxglove_layout
from superpoint_rknn.layouts.rviz import rviz_config


def test_a_camera_without_a_name():
    cameras = camera_topics(['/'], [''], 'image')
    assert rviz_displays(cameras) == {
        'Tracks': ('/tracks_overlay', 'Reliable'),
        'Keypoints': ('/overlay', 'Reliable'),
        'Image': ('/image', 'Best Effort'),
    }
    images, annotations, plotted = foxglove(cameras)
    assert images == {'/image', '/overlay', '/tracks_overlay'}
    assert annotations == {'/keypoints_annotations', '/tracks_annotations'}
    assert ('/superpoint: camera', 'keypoints_hz') in plotted
    assert ('/tracker: camera', 'tracks_hz') in plotted


def test_a_camera_whose_topic_is_named_like_an_overlay():
    displays = rviz_displays(camera_topics(['/'], [''], '/thermal/overlay'))
    assert displays['Image'] == ('/thermal/overlay', 'Best Effort')
    assert displays['Keypoints'] == ('/overlay', 'Reliable')


def test_two_namespaces_with_two_cameras_each():
    cameras = camera_topics(['front', '/robot/rear/'], ['left', 'right'], 'image_raw')
    displays = rviz_displays(cameras)
    assert len(displays) == 12
    assert displays['Tracks of robot/rear/left'][0] == '/robot/rear/left/tracks_overlay'
    assert displays['Image of front/right'][0] == '/front/right/image_raw'
    images, annotations, plotted = foxglove(cameras)
    assert images == {topic for topic, _ in displays.values()}
    assert len(annotations) == 8
    assert ('/robot/rear/superpoint: left', 'keypoints_hz') in plotted
    tabs = json.loads(foxglove_layout(cameras))['configById']['Tab!cameras']['tabs']
    assert [tab['title'] for tab in tabs] == [
        *('front/left', 'front/right', 'robot/rear/left', 'robot/rear/right')
    ]


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['/a', 'a/'], 'the namespace /a is listed twice'),
        (['--cameras', 'l,l'], "'l' is listed twice"),
        (['/ro bot'], "'ro bot' is not a valid name"),
        (['/a', '/b', '--image', '/image'], 'image /image: expected a relative name'),
    ],
)
def test_wrong_names_are_refused(tmp_path, capsys, arguments, message):
    assert cli.main(['layouts', *arguments, '-o', str(tmp_path / 'out')]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


def test_the_command_writes_both_files(tmp_path, capsys):
    assert cli.main(['layouts', '/cam0', '-o', str(tmp_path / 'new/out')]) == 0
    cameras = camera_topics(['/cam0'], [''], 'image')
    written = {path.name: path.read_text() for path in (tmp_path / 'new/out').iterdir()}
    assert written == {
        'superpoint.rviz': rviz_config(cameras),
        'foxglove_layout.json': foxglove_layout(cameras),
    }
    assert len(capsys.readouterr().out.splitlines()) == 2
