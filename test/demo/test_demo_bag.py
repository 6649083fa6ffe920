"""The bag of a run."""

import numpy as np
import pytest

demo_bag = pytest.importorskip('bag', reason='the demo records with the rosbags library')
video = pytest.importorskip('video', reason='the demo draws with Pillow')


SECOND = 10**9  # [ns]


def write_bag(path, seconds=(1,), number_of_descriptors=4):
    """A bag of images of 3x4 pixels, with two keypoints, descriptors and tracks of each."""
    types = demo_bag.message_types()
    make = types.types
    x = np.array([1, 2], np.float32)
    with demo_bag.BagWriter(path) as writer:
        for second in seconds:
            time_of = make['builtin_interfaces/msg/Time'](sec=second, nanosec=2)
            header = make['std_msgs/msg/Header'](stamp=time_of, frame_id='camera')
            empty, ids = np.array([], np.uint32), np.array([5, 6], np.uint32)
            points = {'header': header, 'height': 3, 'width': 4, 'x': x, 'y': x, 'score': x / 2}
            keypoints = make['superpoint_rknn/msg/Keypoints'](**points, id=empty, age=empty)
            image = make['sensor_msgs/msg/Image'](
                header=header,
                height=3,
                width=4,
                encoding='mono8',
                is_bigendian=0,
                step=4,
                data=np.arange(12, dtype=np.uint8),
            )
            data = np.arange(number_of_descriptors, dtype=np.float32)
            described = make['superpoint_rknn/msg/Descriptors'](
                header=header, keypoints=keypoints, dim=2, data=data, model='net'
            )
            tracks = make['superpoint_rknn/msg/Keypoints'](**points, id=ids, age=ids)
            messages = image, keypoints, described, tracks
            for index, (topic, message) in enumerate(zip(demo_bag.TYPES, messages, strict=True)):
                cdr = types.serialize_cdr(message, demo_bag.TYPES[topic])
                writer.write(writer.of_topic[topic], second * SECOND + index, cdr)


def test_a_written_bag_is_read_unchanged(tmp_path):
    write_bag(tmp_path / 'bag')
    found = demo_bag.read(tmp_path / 'bag')
    assert found.images == [demo_bag.Header(1, 2, 'camera')]
    results = found.keypoints + found.descriptors + found.tracks
    assert [r.time_ns - SECOND for r in results] == [1, 2, 3]
    assert found.matches == []
    assert found.keypoints[0].points.equals(found.descriptors[0].points)
    assert found.keypoints[0].points.image_size == (3, 4)
    ((_, _, message),) = demo_bag.messages(tmp_path / 'bag', 'image')
    np.testing.assert_array_equal(video.grey(message), np.arange(12).reshape(3, 4))


def test_descriptors_whose_number_differs_from_the_points_raise(tmp_path):
    write_bag(tmp_path / 'bag', number_of_descriptors=3)
    with pytest.raises(ValueError, match='3 values for 2 points of dimension 2'):
        demo_bag.read(tmp_path / 'bag')


def test_only_a_bag_of_an_earlier_run_is_removed(tmp_path):
    write_bag(tmp_path / 'bag')
    demo_bag.remove_old(tmp_path / 'bag')
    assert not (tmp_path / 'bag').exists()
    precious = tmp_path / 'precious'
    precious.mkdir()
    (precious / 'thesis.tex').touch()
    with pytest.raises(FileExistsError, match='move it away'):
        demo_bag.remove_old(precious)
    assert (precious / 'thesis.tex').exists()


def test_the_matches_of_a_bag_are_between_its_points(tmp_path):
    write_bag(tmp_path / 'bag', seconds=(1, 3))
    (found,) = demo_bag.read(tmp_path / 'bag').matches
    assert (found.older.sec, found.newer.sec, found.seconds) == (1, 3, 2.0)
    assert found.first.tolist() == found.second.tolist() == [[1, 1], [2, 2]]


@pytest.mark.parametrize(
    ('times', 'models', 'expected'),  # index of the image that each one is matched with
    [
        ((0, 400, 1000, 1400, 2500), 'aaaaa', (None, None, 0, 1, 3)),
        ((0, 1000, 2000, 3000), 'abbb', (None, None, 1, 2)),
    ],
)
def test_descriptors_are_matched_with_those_of_a_second_before(times, models, expected):
    matcher, rows, x = demo_bag.Matcher(), np.eye(2, dtype=np.float32), np.float32([1, 2])
    headers = [demo_bag.Header(0, 10**6 * time, '') for time in times]
    points = [demo_bag.Points(header, (3, 4), x, x, x) for header in headers]
    found = [matcher.add(*each, rows) for each in zip(models, points, strict=True)]
    assert [m and headers.index(m.older) for m in found] == list(expected)
