"""Extracted features equal those of Extractor and Tracker, for every kind of recording."""

import json

import cv2
import numpy as np
import pytest
from recorded import (
    LATE,
    ROS1,
    ROS2,
    files_of,
    image_of,
    lines,
    raw_messages,
    read,
    stamp,
    write_bag,
    write_ros1_bag,
)
from rosbags.rosbag2 import StoragePlugin, Writer

from superpoint_rknn.extractor import Extractor
from superpoint_rknn.runtimes.open import open_runtime
from superpoint_rknn.settings import short_repr
from superpoint_rknn.tracking.tracker import Tracker


def stamp_of(message):
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


def test_features_equal_those_of_extractor_and_tracker(tmp_path, bag, pictures, model, extract):
    assert extract(bag, '-o', tmp_path / 'features') == 0
    found = read(tmp_path / 'features')
    assert set(found) == {'/cam0/keypoints', '/cam0/descriptors', '/cam0/tracks'}
    assert {len(messages) for messages in found.values()} == {len(pictures)}
    runtime = open_runtime(model)
    extractor, tracker = Extractor(runtime), Tracker()
    for number, picture in enumerate(pictures):
        detection = extractor.detect(picture, extractor.new_descriptor_map())
        points, rows = detection.keypoints, extractor.describe(detection)
        tracked = tracker.track(picture, stamp(number), points)
        tracker.add_descriptors(stamp(number), points.x, points.y, rows, runtime.model)
        assert len(points) > 20
        times, (keypoints, descriptors, tracks) = zip(
            *(found[f'/cam0/{name}'][number] for name in ('keypoints', 'descriptors', 'tracks')),
            strict=True,
        )
        assert times == (stamp(number) + LATE,) * 3
        for message in (keypoints, descriptors, descriptors.keypoints, tracks):
            assert (stamp_of(message), message.header.frame_id) == (stamp(number), 'camera')
        for message in (keypoints, descriptors.keypoints, tracks):
            assert (message.height, message.width) == picture.shape
        for message in (keypoints, descriptors.keypoints):
            np.testing.assert_array_equal(message.x, points.x)
            np.testing.assert_array_equal(message.y, points.y)
            np.testing.assert_array_equal(message.score, points.score)
            assert len(message.id) == len(message.age) == 0
        assert (descriptors.dim, descriptors.model) == (256, runtime.model)
        np.testing.assert_array_equal(descriptors.data.reshape(-1, 256), rows)
        for name in ('x', 'y', 'score', 'id', 'age'):
            np.testing.assert_array_equal(getattr(tracks, name), getattr(tracked, name))
    assert max(tracks.age) == len(pictures)


def test_equal_runs_give_equal_bytes_and_the_recording_is_not_changed(
    tmp_path, bag, pictures, extract
):
    messages = [image_of(ROS2, n, picture) for n, picture in enumerate(pictures[:2])]
    single = write_bag(tmp_path / 'sql', {'/image': messages}, StoragePlugin.SQLITE3)
    before = files_of(bag) | files_of(single)
    for name in ('once', 'twice'):
        assert extract(bag, '-o', tmp_path / name) == 0
    assert raw_messages(tmp_path / 'once') == raw_messages(tmp_path / 'twice')
    assert extract(single, '-o', tmp_path / 'thrice') == 0
    assert files_of(bag) | files_of(single) == before


@pytest.mark.parametrize('storage', list(StoragePlugin))
@pytest.mark.parametrize('single_file', [False, True])
@pytest.mark.parametrize('compressed', [False, True])
def test_kinds_of_recordings(tmp_path, bag, pictures, extract, storage, single_file, compressed):
    topic = '/cam0/image_raw/compressed' if compressed else '/cam0/image_raw'
    messages = [image_of(ROS2, n, p, compressed) for n, p in enumerate(pictures[:2])]
    path = write_bag(tmp_path / 'short', {topic: messages}, storage)
    if single_file:
        (path,) = (p for p in path.iterdir() if p.suffix in ('.mcap', '.db3'))
    assert extract(path, '-o', tmp_path / 'features') == 0
    assert extract(bag, '-o', tmp_path / 'reference') == 0
    reference = raw_messages(tmp_path / 'reference')
    assert raw_messages(tmp_path / 'features') == reference[:6]


def test_recordings_of_ros_1(tmp_path, bag, pictures, extract):
    messages = [image_of(ROS1, n, picture) for n, picture in enumerate(pictures)]
    path = write_ros1_bag(tmp_path / 'old.bag', '/cam0/image_raw', messages)
    assert extract(path, bag, '-o', tmp_path / 'features') == 0
    old, new = (raw_messages(tmp_path / 'features' / name) for name in ('old', 'drive'))
    assert old == new


def test_two_cameras_do_not_mix(tmp_path, bag, pictures, extract):
    """The second camera has the same images in reverse order, at half the rate."""
    left = [image_of(ROS2, n, picture) for n, picture in enumerate(pictures)]
    right = [image_of(ROS2, n, pictures[-1 - n]) for n in (0, 2, 4)]
    both = write_bag(tmp_path / 'both', {'/left/image': left, '/right/image': right})
    alone = write_bag(tmp_path / 'alone', {'/right/image': right})
    topics = ('--topic', '/right/image', '--topic', '/left/image')
    assert extract(both, '-o', tmp_path / 'features_of_both', *topics) == 0
    assert extract(alone, '-o', tmp_path / 'features_of_right') == 0
    right = raw_messages(tmp_path / 'features_of_right')
    found = raw_messages(tmp_path / 'features_of_both')
    assert [message for message in found if message[0].startswith('/right')] == right
    assert len(found) == len(right) * 3


def test_rate_of_descriptors(tmp_path, bag, extract):
    """Images come at 20 Hz: at 10 Hz every other one has descriptors."""
    assert extract(bag, '-o', tmp_path / 'some', '--descriptors-rate', 10) == 0
    found = read(tmp_path / 'some')
    assert [stamp_of(m) for _, m in found['/cam0/descriptors']] == [stamp(n) for n in (0, 2, 4)]
    assert len(found['/cam0/keypoints']) == len(found['/cam0/tracks']) == 6
    assert extract(bag, '-o', tmp_path / 'none', '--descriptors-rate', 0) == 0
    assert set(read(tmp_path / 'none')) == {'/cam0/keypoints', '/cam0/tracks'}


def test_tracks_end_where_stamps_jump(tmp_path, pictures, extract):
    numbers = (0, 1, 2, 100, 101, 102)
    messages = [image_of(ROS2, n, p) for n, p in zip(numbers, pictures, strict=True)]
    bag = write_bag(tmp_path / 'gap', {'/image': messages})
    assert extract(bag, '-o', tmp_path / 'features', '--json', tmp_path / 'f.json') == 0
    ages = [max(tracks.age) for _, tracks in read(tmp_path / 'features')['/tracks']]
    assert ages == [1, 2, 3, 1, 2, 3]
    assert json.loads((tmp_path / 'f.json').read_text())['bags'][0]['restarts'] == 1


def test_a_late_image_has_no_tracks(tmp_path, pictures, extract, capfd):
    messages = [image_of(ROS2, n, picture) for n, picture in enumerate(pictures)]
    late = messages[3].header
    messages[3].header = messages[1].header
    messages[1].header = late  # stamps 0, 3, 2, 1, 4, 5 in the order of recording
    bag = tmp_path / 'drive'
    with Writer(bag, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection('/image', messages[0].__msgtype__, typestore=ROS2)
        for number, message in enumerate(messages):
            data = ROS2.serialize_cdr(message, message.__msgtype__)
            writer.write(connection, stamp(number), data)
    assert extract(bag, '-o', tmp_path / 'out', '--json', tmp_path / 'f.json') == 0
    (line,) = lines(capfd.readouterr().err)
    assert f'{bag}: 2 late images have no tracks' in line
    (figures,) = json.loads((tmp_path / 'f.json').read_text())['bags']
    assert (figures['images'], figures['late'], figures['restarts']) == (6, 2, 0)
    found = read(tmp_path / 'out')
    for name in ('keypoints', 'descriptors'):
        assert [stamp_of(m) for _, m in found[f'/{name}']] == list(map(stamp, (0, 3, 2, 1, 4, 5)))
    tracks = [message for _, message in found['/tracks']]
    assert [stamp_of(message) for message in tracks] == list(map(stamp, (0, 3, 4, 5)))
    assert [max(message.age) for message in tracks] == [1, 2, 3, 4]


def test_images_that_can_not_be_used_are_named_and_left_out(tmp_path, pictures, extract, capfd):
    messages = [image_of(ROS2, n, picture) for n, picture in enumerate(pictures)]
    messages[1].encoding = '32FC1' + 10_000 * ' '
    messages[3].data = messages[3].data[:-1]
    messages[4].header = messages[2].header
    bag = write_bag(tmp_path / 'drive', {'/image': messages})
    for _ in range(2):  # a finished bag repeats the report
        assert extract(bag, '-o', tmp_path / 'out', '--json', tmp_path / 'f.json') == 1
        err = capfd.readouterr().err
        assert '3 images left out' in err
        assert "/image:1: encoding: '32FC1" in err
        assert '/image:3: header.stamp' in err  # in the order of recording
        assert '/image:4: data: 19199 bytes' in err
        (figures,) = json.loads((tmp_path / 'f.json').read_text())['bags']
        assert (figures['images'], figures['failed']) == (3, 3)
        quoted = short_repr(messages[1].encoding)  # 10,005 characters, cut to 80
        assert any(f'encoding: {quoted}' in failure for failure in figures['failures'])
        assert max(len(failure) for failure in figures['failures']) < 300
    found = read(tmp_path / 'out')
    for name in ('keypoints', 'descriptors', 'tracks'):
        assert [stamp_of(m) for _, m in found[f'/{name}']] == [stamp(n) for n in (0, 2, 5)]


def test_parameters_of_the_nodes(tmp_path, bag, pictures, extract, model):
    mask = np.zeros(pictures[0].shape, np.uint8)
    mask[:, 80:] = 255
    cv2.imwrite(str(tmp_path / 'mask.png'), mask)
    (tmp_path / 'superpoint.yaml').write_text(
        'superpoint:\n  ros__parameters:\n    image_transport: raw\n'
        f'    mask: {tmp_path / "mask.png"}\n    detector:\n      max_keypoints: 30\n'
    )
    (tmp_path / 'tracker.yaml').write_text(
        '/**:\n  ros__parameters:\n    max_tracks: 9\n    feature:\n      format: "off"\n'
    )
    options = ('--params', tmp_path / 'superpoint.yaml', '--params', tmp_path / 'tracker.yaml')
    assert extract(bag, '-o', tmp_path / 'out', *options, '-p', 'max_tracks:=7') == 0
    found = read(tmp_path / 'out')
    for _, keypoints in found['/cam0/keypoints']:
        assert 0 < len(keypoints.x) <= 30
        assert min(keypoints.x) > 79
    assert [len(tracks.id) for _, tracks in found['/cam0/tracks']] == [7] * 6
    cv2.imwrite(str(tmp_path / 'left.png'), 255 - mask)
    options = (*options, '-p', f'cam0.mask:={tmp_path / "left.png"}')
    assert extract(bag, '-o', tmp_path / 'left', *options, '-p', 'cam1.mask:=""') == 0
    for _, keypoints in read(tmp_path / 'left')['/cam0/keypoints']:
        assert 0 < max(keypoints.x) < 81


def test_12_bits_in_the_lower_bits_of_16(tmp_path, pictures, extract, capfd):
    """They cause a warning; with their range, features are those of the images in 8 bits."""
    words = [(picture * (4095 / 255)).astype('<u2') for picture in pictures]
    messages = [
        image_of(
            ROS2,
            n,
            word,
            encoding='mono16',
            step=2 * word.shape[1],
            data=word.view(np.uint8).ravel(),
        )
        for n, word in enumerate(words)
    ]
    bag = write_bag(tmp_path / 'dark', {'/cam0/image_raw': messages})
    option = 'input_range:=[0, 65535]'
    assert extract(bag, '-o', tmp_path / 'dark_features', '-p', option) == 0
    (line,) = lines(capfd.readouterr().err)
    assert '/cam0/image_raw: 16-bit image with values of' in line
    assert extract(bag, '-o', tmp_path / 'detected') == 0
    (line,) = lines(capfd.readouterr().err)
    assert '/cam0/image_raw: 16-bit image with values up to' in line
    for values, name in (('[0, 4095]', 'fixed'), ('auto', 'automatic')):
        option = f'input_range:={values}'
        assert extract(bag, '-o', tmp_path / name, '-p', option) == 0
        assert lines(capfd.readouterr().err) == []
    dark, fixed, automatic, detected = (
        len(read(tmp_path / name)['/cam0/keypoints'][0][1].x)
        for name in ('dark_features', 'fixed', 'automatic', 'detected')
    )
    assert detected == fixed
    assert dark < 0.8 * fixed
    assert fixed * 0.8 < automatic < fixed * 1.5
    assert extract(bag, '-o', tmp_path / 'bad', '-p', 'input_range:=[9, 9]') == 1
    assert 'input_range: [9, 9], expected the lower number first' in capfd.readouterr().err
