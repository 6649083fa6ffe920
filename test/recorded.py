"""Write recordings for tests, and read their content."""

from pathlib import Path

import cv2
from rosbags.highlevel import AnyReader
from rosbags.rosbag1 import Writer as Ros1Writer
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

HEIGHT, WIDTH = 120, 160
ROS2, ROS1 = get_typestore(Stores.ROS2_HUMBLE), get_typestore(Stores.ROS1_NOETIC)
STEP = 50_000_000  # [ns] between two images
START = 1_700_000_000_000_000_000  # stamp of the first [ns]
LATE = 7_000_000  # [ns] from an image's stamp to its recording


def stamp(number):
    """Stamp of the image with this number [ns]."""
    return START + number * STEP


def image_of(types, number, picture, compressed=False, **fields):
    """Message of a picture, as raw mono8 or as PNG."""
    time = types.types['builtin_interfaces/msg/Time'](*divmod(stamp(number), 10**9))
    header_type = types.types['std_msgs/msg/Header']
    sequence = {'seq': number} if types is ROS1 else {}
    header = header_type(stamp=time, frame_id='camera', **sequence)
    if compressed:
        data = cv2.imencode('.png', picture)[1].ravel()
        kind = types.types['sensor_msgs/msg/CompressedImage']
        return kind(**{'header': header, 'format': 'png', 'data': data, **fields})
    height, width = picture.shape
    kind = types.types['sensor_msgs/msg/Image']
    return kind(
        **{
            'header': header,
            'height': height,
            'width': width,
            'encoding': 'mono8',
            'is_bigendian': 0,
            'step': width,
            'data': picture.ravel(),
            **fields,
        }
    )


def write_bag(path, topics, storage=StoragePlugin.MCAP):
    """Write a rosbag2 of messages by topic, each recorded LATE [ns] after its stamp."""
    with Writer(path, version=9, storage_plugin=storage) as writer:
        for topic, messages in topics.items():
            kind = messages[0].__msgtype__
            connection = writer.add_connection(topic, kind, typestore=ROS2)
            for message in messages:
                time_of = getattr(message, 'header', message).stamp
                taken = time_of.sec * 10**9 + time_of.nanosec
                writer.write(connection, taken + LATE, ROS2.serialize_cdr(message, kind))
    return path


def write_ros1_bag(path, topic, messages):
    with Ros1Writer(path) as writer:
        kind = messages[0].__msgtype__
        connection = writer.add_connection(topic, kind, typestore=ROS1)
        for message in messages:
            taken = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
            writer.write(connection, taken + LATE, ROS1.serialize_ros1(message, kind))
    return path


def read(path):
    """Messages by topic, each with its time, read by the definitions in the bag."""
    messages_by_topic = {}
    with AnyReader([path]) as reader:
        for connection, time_ns, data in reader.messages():
            message = reader.deserialize(data, connection.msgtype)
            messages_by_topic.setdefault(connection.topic, []).append((time_ns, message))
    return messages_by_topic


def raw_messages(path):
    """Topic, time and serialized bytes of each message of a bag."""
    with AnyReader([path]) as reader:
        return [(c.topic, time_ns, bytes(data)) for c, time_ns, data in reader.messages()]


def files_of(path):
    """Content and modification time of all files below a path."""
    files = sorted(p for p in [path, *Path(path).rglob('*')] if p.is_file())
    return {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in files}


def lines(printed):
    """Lines that a command printed, without onnxruntime's warnings about GPUs."""
    return [line for line in printed.splitlines() if 'W:onnxruntime' not in line]
