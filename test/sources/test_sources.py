import sqlite3
from contextlib import closing

import cv2
import numpy as np
import pytest
from exif import rotated_jpeg
from rosbags.rosbag1 import Writer as Ros1Writer
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from superpoint_rknn.sources.messages import grey_image
from superpoint_rknn.sources.open import open_source, thinned

ROS = get_typestore(Stores.ROS2_JAZZY)
Header = ROS.types['std_msgs/msg/Header']
Time = ROS.types['builtin_interfaces/msg/Time']
Image = ROS.types['sensor_msgs/msg/Image']
CompressedImage = ROS.types['sensor_msgs/msg/CompressedImage']
String = ROS.types['std_msgs/msg/String']
HEIGHT, WIDTH = 24, 32


def picture(number):
    """A grey image, different for each number."""
    return np.random.default_rng(number).integers(0, 256, (HEIGHT, WIDTH)).astype(np.uint8)


def header(stamp_ns):
    return Header(Time(stamp_ns // 10**9, stamp_ns % 10**9), 'camera')


def raw(number, stamp_ns):
    """A mono8 message with padded rows."""
    padded = np.full((HEIGHT, WIDTH + 5), 7, np.uint8)
    padded[:, :WIDTH] = picture(number)
    return Image(header(stamp_ns), HEIGHT, WIDTH, 'mono8', 0, WIDTH + 5, padded.ravel())


def write_bag(path, topics, storage=StoragePlugin.MCAP):
    """topics: messages by name; message n of each topic is recorded at n seconds."""
    with Writer(path, version=9, storage_plugin=storage) as writer:
        for topic, messages in topics.items():
            kind = messages[0].__msgtype__
            connection = writer.add_connection(topic, kind, typestore=ROS)
            for number, message in enumerate(messages):
                data = ROS.serialize_cdr(message, kind)
                writer.write(connection, 1 + number * 10**9, data)
    return path


def test_folder_in_natural_order(tmp_path):
    for number in (10, 9, 1):
        cv2.imwrite(str(tmp_path / f'image{number}.png'), picture(number))
    (tmp_path / 'notes.txt').write_text('no picture')
    source = open_source(tmp_path)
    assert len(source) == 3
    frames = list(source)
    assert [frame.name for frame in frames] == ['image1.png', 'image9.png', 'image10.png']
    assert [frame.stamp_ns for frame in frames] == [None] * 3
    np.testing.assert_array_equal(frames[2].image, picture(10))
    assert [frame.name for frame in source] == [frame.name for frame in frames]  # once more


def test_picture_in_colour(tmp_path):
    bgr = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    bgr[..., 2] = 255
    cv2.imwrite(str(tmp_path / 'red.PNG'), bgr)
    (frame,) = open_source(tmp_path / 'red.PNG')
    np.testing.assert_array_equal(frame.image, bgr)
    np.testing.assert_array_equal(frame.grey(), np.full((HEIGHT, WIDTH), 76))  # 0.299 * 255


def test_grey_picture_is_not_copied(tmp_path):
    cv2.imwrite(str(tmp_path / 'grey.png'), picture(0))
    (frame,) = open_source(tmp_path / 'grey.png')
    assert frame.grey() is frame.image


def test_unreadable_pictures_raise(tmp_path):
    with pytest.raises(ValueError, match='no pictures'):
        open_source(tmp_path)
    cv2.imwrite(str(tmp_path / '1.png'), picture(1))
    (tmp_path / '2.png').write_bytes(b'no picture')
    (tmp_path / '3.png').write_bytes(b'')
    frames = iter(open_source(tmp_path))
    assert next(frames).name == '1.png'
    with pytest.raises(ValueError, match=r'2\.png: not a readable picture'):
        next(frames)
    with pytest.raises(ValueError, match=r'3\.png: not a readable picture'):
        list(open_source(tmp_path / '3.png'))


def test_unknown_suffix_and_missing_file_raise(tmp_path):
    with pytest.raises(FileNotFoundError, match='missing: no such file or folder'):
        open_source(tmp_path / 'missing')
    (tmp_path / 'data.csv').write_text('1')
    with pytest.raises(
        ValueError, match=r"data\.csv: unknown suffix '\.csv', expected a folder or"
    ):
        open_source(tmp_path / 'data.csv')


def test_picture_ignores_exif_orientation(tmp_path):
    jpeg, stored = rotated_jpeg()
    (tmp_path / 'turned.jpg').write_bytes(jpeg)
    (frame,) = open_source(tmp_path / 'turned.jpg')
    np.testing.assert_array_equal(frame.image, stored)


@pytest.fixture
def video(tmp_path):
    """Five images at 10 Hz, each of one grey value: 40, 80, ..."""
    path = tmp_path / 'video.avi'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), 10, (64, 48))
    for number in range(5):
        writer.write(np.full((48, 64, 3), 40 * (number + 1), np.uint8))
    writer.release()
    return path


def test_video(video):
    source = open_source(video)
    assert len(source) == 5
    for _ in range(2):
        frames = list(source)
        assert [frame.name for frame in frames] == [f'video.avi:{n}' for n in range(5)]
        assert [frame.stamp_ns for frame in frames] == [n * 100_000_000 for n in range(5)]
        assert [round(frame.image.mean() / 40) for frame in frames] == [1, 2, 3, 4, 5]
        assert frames[0].image.shape == (48, 64, 3)


def test_undecodable_video_raises(tmp_path):
    (tmp_path / 'video.mp4').write_bytes(b'no video' * 100)
    with pytest.raises(ValueError, match=r'video\.mp4: OpenCV can not decode this video'):
        open_source(tmp_path / 'video.mp4')


@pytest.mark.parametrize('storage', list(StoragePlugin))
@pytest.mark.parametrize('single_file', [False, True])
def test_bag(tmp_path, storage, single_file):
    stamps = [5_000_000_123 + n for n in range(3)]
    messages = [raw(number, stamp) for number, stamp in enumerate(stamps)]
    path = write_bag(
        tmp_path / 'bag', {'/chatter': [String('a')] * 9, '/cam/image': messages}, storage
    )
    if single_file:
        (path,) = (p for p in path.iterdir() if p.suffix in ('.mcap', '.db3'))
    source = open_source(path)
    assert (len(source), source.topic) == (3, '/cam/image')
    for _ in range(2):
        frames = list(source)
        assert [frame.name for frame in frames] == [f'/cam/image:{n}' for n in range(3)]
        assert [frame.stamp_ns for frame in frames] == stamps
        for number, frame in enumerate(frames):
            np.testing.assert_array_equal(frame.image, picture(number))


def test_bag_of_ros_1(tmp_path):
    ros1 = get_typestore(Stores.ROS1_NOETIC)
    time = ros1.types['builtin_interfaces/msg/Time'](5, 123)
    taken = ros1.types['std_msgs/msg/Header'](7, time, 'camera')
    kind = 'sensor_msgs/msg/Image'
    message = ros1.types[kind](taken, HEIGHT, WIDTH, 'mono8', 0, WIDTH, picture(3).ravel())
    with Ros1Writer(tmp_path / 'old.bag') as writer:
        connection = writer.add_connection('/cam/image', kind, typestore=ros1)
        writer.write(connection, 1, ros1.serialize_ros1(message, kind))
    (frame,) = open_source(tmp_path / 'old.bag')
    assert (frame.stamp_ns, frame.name) == (5_000_000_123, '/cam/image:0')
    np.testing.assert_array_equal(frame.image, picture(3))


def test_bag_of_compressed_images(tmp_path):
    _, png = cv2.imencode('.png', picture(4))
    message = CompressedImage(header(1), 'png', png.ravel())
    (frame,) = open_source(write_bag(tmp_path / 'bag', {'/image/compressed': [message]}))
    np.testing.assert_array_equal(frame.image, picture(4))
    broken = CompressedImage(header(1), 'jpeg', png.ravel()[50:])
    source = open_source(write_bag(tmp_path / 'broken', {'/image/compressed': [broken]}))
    with pytest.raises(
        ValueError, match=r"compressed:0: data: \d+ bytes of format 'jpeg': not an image"
    ):
        list(source)


def test_compressed_image_ignores_exif_orientation(tmp_path):
    jpeg, stored = rotated_jpeg()
    message = CompressedImage(header(1), 'jpeg', np.frombuffer(jpeg, np.uint8))
    np.testing.assert_array_equal(grey_image(message), stored)
    (frame,) = open_source(write_bag(tmp_path / 'bag', {'/image/compressed': [message]}))
    np.testing.assert_array_equal(frame.image, stored)


@pytest.mark.parametrize('is_bigendian', [0, 1])
def test_16_bits_in_either_byte_order(tmp_path, is_bigendian):
    data = np.uint8([255, 0, 0, 1] if is_bigendian else [0, 255, 1, 0])  # 65280, 1
    message = Image(header(1), 1, 2, 'mono16', is_bigendian, 4, data)
    assert grey_image(message).tolist() == [[254, 0]]
    (frame,) = open_source(write_bag(tmp_path / 'bag', {'/image': [message]}))
    assert frame.image.tolist() == [[254, 0]]


def test_colours_become_grey(tmp_path):
    red = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    red[..., 0] = 255
    message = Image(header(1), HEIGHT, WIDTH, 'rgb8', 0, WIDTH * 3, red.ravel())
    (frame,) = open_source(write_bag(tmp_path / 'bag', {'/image': [message]}))
    np.testing.assert_array_equal(frame.grey(), np.full((HEIGHT, WIDTH), 76))


def test_topic_of_a_bag(tmp_path):
    topics = {
        '/right': [raw(1, 1)] * 2,
        '/left': [raw(0, 1)] * 2,
        '/seldom': [raw(2, 1)],
        '/chatter': [String('a')] * 5,
    }
    path = write_bag(tmp_path / 'bag', topics)
    assert open_source(path).topic == '/left'  # as many as /right, and first by name
    assert len(open_source(path, '/seldom')) == 1
    with pytest.raises(ValueError, match="no image topic '/chatter'; image topics: /left, /right"):
        open_source(path, '/chatter')


def test_unreadable_messages_raise(tmp_path):
    short = raw(0, 1)
    short.data = short.data[:-100]
    unknown = raw(0, 1)
    unknown.encoding = '32FC1'
    for name, message, reason in (('short', short, 'data'), ('unknown', unknown, '32FC1')):
        source = open_source(write_bag(tmp_path / name, {'/image': [message]}))
        with pytest.raises(ValueError, match=f'/image:0: .*{reason}'):
            list(source)


def test_bags_without_images_raise(tmp_path):
    path = write_bag(tmp_path / 'bag', {'/chatter': [String('a')]})
    with pytest.raises(ValueError, match=r'bag: no sensor_msgs/Image or CompressedImage'):
        open_source(path)


@pytest.mark.parametrize('name', ['bag.mcap', 'bag.db3', 'bag.bag', 'bag.mcap.zstd'])
@pytest.mark.parametrize('content', [b'', b'no bag', b'\x28\xb5\x2f\xfd', b'\x89MCAP0\r\n'])
def test_unreadable_bags_raise(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf'{name}: (not a readable recording|no sensor_msgs)'):
        open_source(path)


def test_database_of_another_kind_raises(tmp_path):
    path = tmp_path / 'bag.db3'
    with closing(sqlite3.connect(path)) as database:
        database.execute('CREATE TABLE messages(id)')
    with pytest.raises(ValueError, match=r'bag\.db3: no rosbag2'):
        open_source(path)


def test_thinned(tmp_path, video):
    for number in range(10):
        cv2.imwrite(str(tmp_path / f'{number}.png'), picture(number))
    source = open_source(tmp_path)
    assert [frame.name[0] for frame in thinned(source, 5)] == ['0', '2', '4', '6', '8']
    assert [frame.name[0] for frame in thinned(source, 4)] == ['0', '3', '6', '9']
    assert len(list(thinned(source, 100))) == 10
    assert [frame.name for frame in thinned(open_source(video), 2)] == [
        'video.avi:0',
        'video.avi:3',
    ]


def test_thinned_takes_the_first_if_the_length_is_unknown():
    assert list(thinned(iter('abcdef'), 3)) == ['a', 'b', 'c']
