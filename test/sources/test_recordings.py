"""Recordings that are damaged, incomplete or stored in unusual ways: what is there is read."""

import os
import shutil
import sqlite3
import struct

import cv2
import numpy as np
import pytest
import zstandard
from recorded import ROS1, ROS2, files_of, image_of, stamp, write_bag, write_ros1_bag
from rosbags.rosbag1 import Writer as Ros1Writer
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from superpoint_rknn.sources import compression
from superpoint_rknn.sources.bag import Images
from superpoint_rknn.sources.open import open_source

IMAGE = 'sensor_msgs/msg/Image'
TOPIC = '/cam/image'
COUNT = 6


@pytest.fixture
def messages():
    """Images of 120x160 that do not compress."""
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (COUNT, 120, 160), dtype=np.uint8)
    return [image_of(ROS2, n, picture) for n, picture in enumerate(pictures)]


def write_compressed(path, messages, mode, plugin=StoragePlugin.MCAP):
    writer = Writer(path, version=9, storage_plugin=plugin)
    writer.set_compression(CompressionMode[mode], CompressionFormat.ZSTD)
    with writer:
        connection = writer.add_connection(TOPIC, IMAGE, typestore=ROS2)
        for number, message in enumerate(messages):
            writer.write(connection, stamp(number), ROS2.serialize_cdr(message, IMAGE))
    return path


def stored(bag):
    """The only file of a bag's folder beside metadata.yaml."""
    (path,) = (file for file in bag.iterdir() if file.name != 'metadata.yaml')
    return path


def numbers(path):
    """Numbers of the images that are read, by their stamps, and what is missing."""
    images = Images(path)
    found = [
        (message.header.stamp.sec * 10**9 + message.header.stamp.nanosec - stamp(0))
        // (stamp(1) - stamp(0))
        for recorded in images.recorded([TOPIC])
        for message in [recorded.message()]
    ]
    return found, images.missing


class Mcap:
    """Write an MCAP record by record."""

    def __init__(self):
        self.data = b'\x89MCAP0\r\n' + self.record(1, self.text('') + self.text('test'))

    @staticmethod
    def text(text):
        return struct.pack('<I', len(text)) + text.encode()

    @staticmethod
    def record(code, content):
        return struct.pack('<BQ', code, len(content)) + content

    def channel(self, encoding='cdr', kind=IMAGE):
        schema = struct.pack('<H', 1) + self.text(kind) + self.text('ros2msg') + self.text('')
        channel = struct.pack('<HH', 7, 1) + self.text(TOPIC) + self.text(encoding)
        return self.record(3, schema) + self.record(4, channel + struct.pack('<I', 0))

    def message(self, number, message, channel=7):
        data = bytes(ROS2.serialize_cdr(message, IMAGE))
        header = struct.pack('<HIQQ', channel, 0, stamp(number), stamp(number))
        return self.record(5, header + data)

    def chunk(self, start, end, records, compression='', size=None, crc=0):
        data = zstandard.compress(records) if compression == 'zstd' else records
        size = len(records) if size is None else size
        header = struct.pack('<QQQI', stamp(start), stamp(end), size, crc)
        content = header + self.text(compression) + struct.pack('<Q', len(data)) + data
        self.data += self.record(6, content)

    def close(self, path, with_footer=True):
        if with_footer:
            self.data += self.record(15, bytes(4)) + self.record(2, bytes(20))
            self.data += b'\x89MCAP0\r\n'
        path.write_bytes(self.data)
        return path


@pytest.mark.parametrize('plugin', list(StoragePlugin))
def test_folder_without_metadata(tmp_path, messages, plugin):
    bag = write_bag(tmp_path / 'bag', {TOPIC: messages}, plugin)
    (bag / 'metadata.yaml').unlink()
    assert numbers(bag) == (list(range(COUNT)), [])
    assert len(list(open_source(bag))) == COUNT


def test_empty_storage_identifier(tmp_path, messages):
    metadata = write_bag(tmp_path / 'bag', {TOPIC: messages}) / 'metadata.yaml'
    metadata.write_text(metadata.read_text().replace('identifier: mcap', "identifier: ''"))
    assert numbers(tmp_path / 'bag') == (list(range(COUNT)), [])


@pytest.mark.parametrize('text', ['', '- [', 'a: b', '[' * 5000, 'rosbag2_bagfile_information: 3'])
def test_damaged_metadata(tmp_path, messages, text):
    bag = write_bag(tmp_path / 'bag', {TOPIC: messages})
    (bag / 'metadata.yaml').write_text(text)
    found, missing = numbers(bag)
    assert found == list(range(COUNT))
    assert missing[0].startswith('metadata.yaml: damaged')


def test_counts_of_the_metadata_are_checked(tmp_path, messages):
    metadata = write_bag(tmp_path / 'bag', {TOPIC: messages}) / 'metadata.yaml'
    metadata.write_text(metadata.read_text().replace('message_count: 6', 'message_count: 8'))
    assert numbers(tmp_path / 'bag') == (
        list(range(COUNT)),
        [f'{TOPIC}: 2 of 8 messages are missing'],
    )
    metadata.write_text(metadata.read_text().replace('message_count: 8', 'message_count: six'))
    assert 'damaged' in numbers(tmp_path / 'bag')[1][0]


@pytest.mark.parametrize('path', ['../other/other.mcap', '/other/other.mcap', '..', '.'])
def test_metadata_names_no_file_elsewhere(tmp_path, messages, path):
    write_bag(tmp_path / 'other', {TOPIC: messages})
    bag = write_bag(tmp_path / 'bag', {TOPIC: messages[:2]})
    metadata = bag / 'metadata.yaml'
    metadata.write_text(metadata.read_text().replace('- bag.mcap', f'- {path}'))
    found, missing = numbers(bag)
    assert found == [0, 1]
    assert any('no such file' in text for text in missing)


def test_mcap_cut_at_every_place(tmp_path, messages):
    """Whole messages before the cut are read, whether it is in a chunk or not."""
    content = stored(write_bag(tmp_path / 'bag', {TOPIC: messages})).read_bytes()
    path = tmp_path / 'cut.mcap'
    size = len(ROS2.serialize_cdr(messages[0], IMAGE))
    for end in range(3 * size, len(content), 7919):
        path.write_bytes(content[:end])
        found, missing = numbers(path)
        assert found == list(range(len(found)))
        assert len(found) in (min(COUNT, end // (size + 31)), end // (size + 31) - 1)
        assert len(missing) == 1
        assert missing[0].startswith('cut.mcap: cut, or its recorder was stopped')


@pytest.mark.parametrize('mode', ['FILE', 'MESSAGE', 'STORAGE'])
@pytest.mark.parametrize('plugin', list(StoragePlugin))
def test_zstd(tmp_path, messages, mode, plugin):
    if (mode, plugin) == ('STORAGE', StoragePlugin.SQLITE3):
        pytest.skip('SQLite has no compression of its own')
    bag = write_compressed(tmp_path / 'bag', messages, mode, plugin)
    before = files_of(bag)
    assert numbers(bag) == (list(range(COUNT)), [])
    (bag / 'metadata.yaml').unlink()
    assert numbers(bag) == (list(range(COUNT)), [])
    assert numbers(stored(bag)) == (list(range(COUNT)), [])
    assert files_of(bag).keys() <= before.keys()


@pytest.mark.parametrize('name', ['zstandard', 'backports.zstd'])
def test_zstd_of_either_module(tmp_path, messages, monkeypatch, name):
    pytest.importorskip(name)
    bag = write_compressed(tmp_path / 'bag', messages, 'FILE')
    path = tmp_path / 'cut.mcap.zstd'
    path.write_bytes(stored(bag).read_bytes()[:-30000])
    monkeypatch.setattr(compression, 'ZSTD_MODULES', (name,))
    assert numbers(bag) == (list(range(COUNT)), [])
    found, missing = numbers(path)
    assert 0 < len(found) < COUNT
    assert missing


def test_zstd_without_a_module(tmp_path, messages, monkeypatch):
    bag = write_compressed(tmp_path / 'bag', messages, 'FILE')
    monkeypatch.setattr(compression, 'ZSTD_MODULES', ('no_such_module',))
    with pytest.raises(ValueError, match=r'zstd needs zstandard or backports\.zstd: pip install'):
        Images(bag)


def test_unpacking_leaves_space_on_the_disk(tmp_path, messages, monkeypatch):
    bag = write_compressed(tmp_path / 'bag', messages, 'FILE')
    monkeypatch.setattr(compression, 'LEAST_FREE', 2**60)
    with pytest.raises(ValueError, match=r'no space to decompress it in .*: set TMPDIR'):
        Images(bag)


def test_mcap_without_chunks_and_index(tmp_path, messages):
    mcap = Mcap()
    mcap.data += mcap.channel()
    for number in (1, 0, 2):
        mcap.data += mcap.message(number, messages[number])
    assert numbers(mcap.close(tmp_path / 'a.mcap')) == ([0, 1, 2], [])
    cut = tmp_path / 'cut.mcap'
    cut.write_bytes(mcap.data[: -len(mcap.message(2, messages[2])) - 40])
    assert numbers(cut)[0] == [0, 1]


def test_chunks_that_overlap_in_time(tmp_path, messages):
    mcap = Mcap()
    for chunk in ((1, 2), (3, 5), (0, 4)):
        records = b''.join(mcap.message(number, messages[number]) for number in chunk)
        mcap.chunk(*chunk, mcap.channel() + records, 'zstd')
    assert numbers(mcap.close(tmp_path / 'a.mcap')) == (list(range(COUNT)), [])


def test_damaged_chunk_does_not_hide_the_next(tmp_path, messages):
    mcap = Mcap()
    mcap.chunk(0, 0, mcap.channel() + mcap.message(0, messages[0]))
    mcap.chunk(1, 1, mcap.message(1, messages[1]), crc=5)
    mcap.chunk(2, 2, mcap.message(2, messages[2], channel=9))
    mcap.chunk(3, 3, mcap.message(3, messages[3]))
    found, missing = numbers(mcap.close(tmp_path / 'a.mcap'))
    assert found == [0, 3]
    assert ['checksum' in missing[0], 'channel 9' in missing[1]] == [True, True]


def test_zeros_at_the_end(tmp_path, messages):
    """A file system leaves them after a power cut."""
    mcap = Mcap()
    mcap.chunk(0, 0, mcap.channel() + mcap.message(0, messages[0]))
    mcap.data += bytes(5000)
    found, missing = numbers(mcap.close(tmp_path / 'a.mcap', with_footer=False))
    assert found == [0]
    assert 'no record at byte' in missing[0]


def test_decompression_is_bounded(tmp_path, messages):
    """Neither a wrong size nor data that decompress to more take more memory."""
    mcap = Mcap()
    mcap.chunk(0, 0, mcap.channel() + mcap.message(0, messages[0]))
    mcap.chunk(1, 1, bytes(2**24), 'zstd', size=100)
    mcap.chunk(2, 2, b'', 'zstd', size=2**40)
    found, missing = numbers(mcap.close(tmp_path / 'a.mcap'))
    assert found == [0]
    assert 'more than 100 bytes decompressed' in missing[0]
    assert f'{2**40} bytes decompressed, expected at most' in missing[1]


def test_message_of_another_serialisation_is_no_image(tmp_path, messages):
    mcap = Mcap()
    mcap.chunk(0, 0, mcap.channel('protobuf') + mcap.message(0, messages[0]))
    images = Images(mcap.close(tmp_path / 'a.mcap'))
    assert not images.counts
    assert images.types == {TOPIC: f'{IMAGE} in protobuf'}


def ros1_messages():
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (COUNT, 120, 160), dtype=np.uint8)
    return [image_of(ROS1, n, picture) for n, picture in enumerate(pictures)]


def unindexed(path):
    """Content of a bag as its recorder leaves it that was killed."""
    content = bytearray(path.read_bytes())
    field = content.index(b'index_pos=') + len(b'index_pos=')
    (index,) = struct.unpack_from('<Q', content, field)
    content[field : field + 8] = bytes(8)
    return bytes(content[:index])


def test_unindexed_ros1_bag(tmp_path):
    path = write_ros1_bag(tmp_path / 'a.bag', TOPIC, ros1_messages())
    assert numbers(path) == (list(range(COUNT)), [])
    path.write_bytes(unindexed(path))
    found, missing = numbers(path)
    assert found == list(range(COUNT))
    assert missing == ['a.bag: not closed by its recorder: the last messages may be missing']


@pytest.mark.parametrize('format_', [None, *Ros1Writer.CompressionFormat])
def test_cut_ros1_bag(tmp_path, format_):
    path, messages = tmp_path / 'a.bag', ros1_messages()
    writer = Ros1Writer(path)
    if format_:
        writer.set_compression(format_)
    with writer:
        connection = writer.add_connection(TOPIC, IMAGE, typestore=ROS1)
        for number, message in enumerate(messages):
            writer.write(connection, stamp(number), ROS1.serialize_ros1(message, IMAGE))
    assert numbers(path) == (list(range(COUNT)), [])
    path.write_bytes(path.read_bytes()[:-30000])
    found, missing = numbers(path)
    assert found == list(range(len(found)))
    assert len(found) in ((0,) if format_ == Ros1Writer.CompressionFormat.BZ2 else (3, 4, 5))
    assert 'cut, or its recorder was stopped' in missing[0]


def test_write_ahead_log_of_sqlite(tmp_path, messages):
    bag = write_bag(tmp_path / 'bag', {TOPIC: messages[:2]}, StoragePlugin.SQLITE3)
    (bag / 'metadata.yaml').unlink()
    database = sqlite3.connect(stored(bag))
    try:
        database.execute('PRAGMA journal_mode=WAL')
        for number in range(2, COUNT):
            data = bytes(ROS2.serialize_cdr(messages[number], IMAGE))
            row = (1, stamp(number), data)
            database.execute('INSERT INTO messages(topic_id, timestamp, data) VALUES(?,?,?)', row)
        database.commit()
        shutil.copytree(bag, tmp_path / 'killed')
    finally:
        database.close()
    before = files_of(tmp_path / 'killed')
    assert any(path.name.endswith('-wal') for path in before)
    assert numbers(tmp_path / 'killed') == (list(range(COUNT)), [])
    assert files_of(tmp_path / 'killed') == before


def test_cut_sqlite(tmp_path, messages):
    bag = write_bag(tmp_path / 'bag', {TOPIC: messages}, StoragePlugin.SQLITE3)
    path = tmp_path / 'cut.db3'
    path.write_bytes(stored(bag).read_bytes()[:-45000])
    found, missing = numbers(path)
    assert 0 < len(found) < COUNT
    assert found == list(range(len(found)))
    assert missing


@pytest.mark.parametrize('is_listed', [True, False])
def test_split_files_are_read_in_order_of_time(tmp_path, messages, is_listed):
    bag = tmp_path / 'drive'
    bag.mkdir()
    parts = {'drive_0': (4, 5), 'drive_1': (0, 2), 'drive_10': (1, 3)}
    for name, part in parts.items():
        written = write_bag(tmp_path / name, {TOPIC: [messages[number] for number in part]})
        shutil.move(stored(written), bag)
        if is_listed:
            shutil.copy(written / 'metadata.yaml', bag)
    assert numbers(bag)[0] == list(range(COUNT))
    (bag / 'drive_1.mcap').write_bytes(b'')
    found, missing = numbers(bag)
    assert found == [1, 3, 4, 5]
    assert 'drive_1.mcap: an empty file' in missing


def test_folder_of_several_recordings(tmp_path, messages):
    folder = tmp_path / 'drives'
    folder.mkdir()
    for name in ('monday', 'tuesday'):
        shutil.move(stored(write_bag(tmp_path / name, {TOPIC: messages})), folder)
    with pytest.raises(ValueError, match=r'several recordings \(monday, tuesday\): name one'):
        Images(folder)


@pytest.fixture
def euroc(tmp_path):
    """A sequence of two cameras; cam0 has one image in 16 bits."""
    rng = np.random.default_rng(0)
    for camera in ('cam0', 'cam1'):
        data = tmp_path / 'MH_01/mav0' / camera / 'data'
        data.mkdir(parents=True)
        lines = ['#timestamp [ns],filename']
        for number in (2, 0, 1):
            time = stamp(number)
            lines.append(f'{time},{time}.png')
            picture = rng.integers(0, 256, (120, 160), dtype=np.uint8)
            if number == 2:
                picture = picture.astype(np.uint16) * 257
            cv2.imwrite(str(data / f'{time}.png'), picture)
        (data.parent / 'data.csv').write_text('\r\n'.join(lines))
    return tmp_path / 'MH_01'


@pytest.mark.parametrize('below', ['.', 'mav0', 'mav0/cam0'])
def test_euroc(euroc, below):
    images = Images(euroc / below)
    assert images.counts['/cam0/image_raw'] == 3
    assert ('/cam1/image_raw' in images.counts) == (below != 'mav0/cam0')
    frames = list(open_source(euroc / below))
    assert [frame.stamp_ns for frame in frames] == [stamp(number) for number in range(3)]
    for frame in frames:
        picture = euroc / f'mav0/cam0/data/{frame.stamp_ns}.png'
        assert np.array_equal(frame.image, cv2.imread(str(picture), cv2.IMREAD_GRAYSCALE))
    encodings = [r.message().encoding for r in images.recorded(['/cam0/image_raw'])]
    assert encodings == ['mono8', 'mono8', 'mono16']


def test_euroc_with_missing_and_unreadable_pictures(euroc):
    data = euroc / 'mav0/cam0/data'
    (data / f'{stamp(1)}.png').unlink()
    (data / f'{stamp(2)}.png').write_bytes(b'no picture')
    images = Images(euroc / 'mav0/cam0')
    assert images.missing == ['cam0: 1 of 3 images of data.csv']
    first, second = images.recorded(['/cam0/image_raw'])
    assert first.message().encoding == 'mono8'
    with pytest.raises(ValueError, match=rf'{stamp(2)}\.png: not a readable picture'):
        second.message()


@pytest.mark.parametrize(
    ('line', 'reason'),
    [
        ('1,../../secret.png', "line 2: '../../secret.png', expected a file name"),
        ('1,/etc/passwd', 'line 2'),
        ('soon,a.png', "line 2: time 'soon'"),
        (f'{2**63},a.png', 'line 2: time'),
        ('1', "line 2: '', expected a file name"),
    ],
)
def test_euroc_with_bad_lines(euroc, line, reason):
    (euroc / 'mav0/cam0/data.csv').write_text(f'#timestamp [ns],filename\n{line}\n')
    with pytest.raises(ValueError, match=reason):
        Images(euroc)


def test_bounds_of_decompression():
    data = zstandard.compress(bytes(1000))
    assert compression.decompress('zstd', data, 1000) == bytes(1000)
    with pytest.raises(ValueError, match='more than 999 bytes'):
        compression.decompress('zstd', data, 999)
    with pytest.raises(ValueError, match='damaged zstd data'):
        compression.decompress('zstd', b'no zstd')
    with pytest.raises(ValueError, match="compression 'rar' is not supported"):
        compression.decompress('rar', data)


MANY = 150  # images of 3 MB in total


def many(messages):
    """Images with ascending stamps."""
    data = messages[0].data.reshape(120, 160)
    return [image_of(ROS2, number, data) for number in range(MANY)]


def cut_in_the_middle(path):
    os.truncate(path, path.stat().st_size // 2)


def cut_to_nothing(path):
    os.truncate(path, 0)


def overwrite(path):
    with path.open('r+b') as file:
        size = path.stat().st_size
        file.seek(size // 2)
        file.write(np.random.default_rng(1).bytes(size // 2))


@pytest.mark.parametrize('change', [cut_in_the_middle, cut_to_nothing, overwrite])
@pytest.mark.parametrize('plugin', list(StoragePlugin))
def test_a_recording_that_is_damaged_while_it_is_read(tmp_path, messages, plugin, change):
    bag = write_bag(tmp_path / 'bag', {TOPIC: many(messages)}, plugin)
    images = Images(bag)
    found = 0
    for recorded in images.recorded([TOPIC]):
        found += 1
        if found == 1:
            change(stored(bag))
        assert recorded.message().encoding == 'mono8'
    assert 1 <= found < MANY
    assert images.missing


@pytest.mark.parametrize('plugin', list(StoragePlugin))
def test_a_recording_that_grows_while_it_is_read(tmp_path, messages, plugin):
    bag = write_bag(tmp_path / 'bag', {TOPIC: many(messages)}, plugin)
    path = stored(bag)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    images = Images(bag)
    found = []
    for recorded in images.recorded([TOPIC]):
        if not found:
            path.write_bytes(content)
        found.append(recorded.message().encoding)
    assert 0 < len(found) < MANY
    assert images.missing
