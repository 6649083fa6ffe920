"""The bag of a run, and pictures of it."""

import numpy as np
import pytest

demo_bag = pytest.importorskip('bag', reason='the demo records with the rosbags library')
pictures = pytest.importorskip('pictures', reason='the demo shows its progress with tqdm')


def write_bag(path, descriptors=(4,)):
    """A bag of one image, one Keypoints and one Descriptors message with two points."""
    types = demo_bag.message_types()
    make = types.types
    time_of = make['builtin_interfaces/msg/Time'](sec=1, nanosec=2)
    header = make['std_msgs/msg/Header'](stamp=time_of, frame_id='camera')
    x = np.array([1, 2], np.float32)
    empty = np.array([], np.uint32)
    keypoints = make['superpoint_rknn/msg/Keypoints'](
        header=header, height=3, width=4, x=x, y=x, score=x, id=empty, age=empty
    )
    image = make['sensor_msgs/msg/Image'](
        header=header,
        height=3,
        width=4,
        encoding='mono8',
        is_bigendian=0,
        step=4,
        data=np.arange(12, dtype=np.uint8),
    )
    data = np.zeros(descriptors, np.float32)
    described = make['superpoint_rknn/msg/Descriptors'](
        header=header, keypoints=keypoints, dim=2, data=data, model='net'
    )
    with demo_bag.BagWriter(path) as writer:
        for time_ns, (topic, message) in enumerate(
            {'image': image, 'keypoints': keypoints, 'descriptors': described}.items()
        ):
            cdr = types.serialize_cdr(message, demo_bag.TYPES[topic])
            writer.write(writer.of_topic[topic], time_ns, cdr)


def test_a_written_bag_is_read_unchanged(tmp_path):
    write_bag(tmp_path / 'bag')
    found = demo_bag.read(tmp_path / 'bag')
    assert found.images == [demo_bag.Header(1, 2, 'camera')]
    assert [r.time_ns for r in found.keypoints + found.descriptors] == [1, 2]
    assert found.keypoints[0].points.equals(found.descriptors[0].points)
    assert found.keypoints[0].points.image_size == (3, 4)
    ((_, image),) = pictures.images(tmp_path / 'bag', found.images)
    np.testing.assert_array_equal(image, np.arange(12).reshape(3, 4))


def test_descriptors_whose_number_differs_from_the_points_raise(tmp_path):
    write_bag(tmp_path / 'bag', descriptors=(3,))
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


def test_scores_become_colours_from_red_to_blue():
    colours = pictures.score_colours(np.array([0, 0.25, 0.5, 1], np.float32))
    assert colours.tolist() == [[0, 0, 255], [0, 255, 255], [0, 255, 0], [255, 0, 0]]


def test_a_circle_is_drawn_around_the_point_in_the_resized_image():
    x, y = np.float32([24.5]), np.float32([9.5])  # in 50x20: 24.5 is the middle
    found = demo_bag.Points(demo_bag.Header(0, 0, ''), (20, 50), x, y, np.float32([0.5]))
    canvas = pictures.annotate(np.zeros((20, 50), np.uint8), found, (100, 40))
    rows, cols = np.nonzero(canvas[..., 1])
    assert (rows.min() + rows.max(), cols.min() + cols.max()) == (39, 99)
    assert canvas[19, 49].tolist() == [0, 0, 0]


def test_an_image_without_points_is_drawn_without_circles():
    empty = np.float32([])
    found = demo_bag.Points(demo_bag.Header(0, 0, ''), (2, 2), empty, empty, empty)
    canvas = pictures.annotate(np.full((2, 2), 7, np.uint8), found, (2, 2))
    assert canvas.tolist() == [[[7, 7, 7]] * 2] * 2


def test_pictures_are_tiled_row_by_row():
    numbered = [np.full((2, 3, 3), i, np.uint8) for i in range(3)]
    sheet = pictures.tile(numbered, columns=2)
    gap = pictures.GAP
    assert sheet.shape == (2 * 2 + gap, 2 * 3 + gap, 3)
    assert [int(sheet[y, x, 0]) for y, x in ((0, 0), (0, -1), (-1, 0), (-1, -1))] == [0, 1, 2, 255]
