from array import array

import cv2
import numpy as np
import pytest
from exif import rotated_jpeg
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from superpoint_rknn.features.image import COLOURS, MOSAICS, PACKED_LUMA, PLANAR_ROWS, WORDS
from superpoint_rknn.features.keypoints import Keypoints as Points
from superpoint_rknn.nodes.common.messages import (
    COMMON_ENCODINGS,
    descriptors_message,
    float_array,
    grey_image,
    image_message,
    keypoints_message,
    raw_descriptors_message,
)


def test_keypoints_message_has_header_size_and_points():
    header = Header(frame_id='cam')
    header.stamp.sec = 5
    points = Points(*np.float32([[1.5, 2.5], [3, 4], [0.75, 0.5]]))
    message = keypoints_message(header, (400, 640), points)
    assert message.header == header
    assert (message.height, message.width) == (400, 640)
    assert message.x == array('f', [1.5, 2.5])
    assert message.y == array('f', [3, 4])
    assert message.score == array('f', [0.75, 0.5])
    assert len(message.id) == len(message.age) == 0


def test_descriptors_message_contains_its_keypoints():
    points = Points(*np.zeros((3, 2), np.float32))
    keypoints = keypoints_message(Header(frame_id='cam'), (8, 8), points)
    message = descriptors_message(keypoints, np.float32([[1, 0, 0], [0, 1, 0]]), 'net@1234')
    assert message.header == keypoints.header
    assert message.keypoints == keypoints
    assert message.dim == 3
    assert message.data == array('f', [1, 0, 0, 0, 1, 0])
    assert message.model == 'net@1234'


def test_float_array_takes_any_layout():
    values = np.arange(6, dtype=np.float64)[::2]
    assert float_array(values) == array('f', [0, 2, 4])


def test_no_points_give_empty_messages():
    empty = np.empty(0, np.float32)
    message = keypoints_message(Header(), (8, 8), Points(empty, empty, empty))
    assert len(message.x) == 0
    assert len(descriptors_message(message, np.empty((0, 256), np.float32), 'm').data) == 0
    assert len(raw_descriptors_message(message, np.empty((0, 256), np.float32), 'm').data) == 0


def test_a_mono8_image_is_a_view_of_the_message():
    message = Image(height=2, width=3, step=4, encoding='mono8', data=array('B', range(8)))
    grey = grey_image(message)
    assert grey.tolist() == [[0, 1, 2], [4, 5, 6]]
    message.data[0] = 99
    assert grey[0, 0] == 99


@pytest.mark.parametrize('is_bigendian', [0, 1])
def test_mono16_in_both_byte_orders(is_bigendian):
    data = array('B', [255, 0, 0, 1] if is_bigendian else [0, 255, 1, 0])  # 65280, 1
    message = Image(
        height=1, width=2, step=4, encoding='mono16', is_bigendian=is_bigendian, data=data
    )
    assert grey_image(message).tolist() == [[254, 0]]


def test_exif_orientation_of_a_compressed_image_is_ignored():
    jpeg, stored = rotated_jpeg()
    assert np.array_equal(grey_image(CompressedImage(format='jpeg', data=jpeg)), stored)


def test_compressed_images_are_decoded_to_grey():
    image = np.random.default_rng(0).integers(0, 256, (16, 24), np.uint8)
    png = cv2.imencode('.png', image)[1]
    assert np.array_equal(grey_image(CompressedImage(format='png', data=png.tobytes())), image)


@pytest.mark.parametrize('data', [b'', b'\xff\xd8\xff\xe0 no jpeg'])
def test_a_corrupt_compressed_image_raises(data):
    with pytest.raises(ValueError, match=r"data: \d+ bytes of format 'jpeg': "):
        grey_image(CompressedImage(format='jpeg', data=data))


def test_an_unknown_encoding_raises():
    message = Image(height=1, width=1, step=4, encoding='64FC9', data=array('B', bytes(4)))
    with pytest.raises(ValueError, match='64FC9'):
        grey_image(message)


def test_advised_encodings_are_supported():
    assert {'mono8', *COLOURS, *MOSAICS, *WORDS, *PACKED_LUMA, *PLANAR_ROWS} > {*COMMON_ENCODINGS}


def test_an_image_message_is_bgr8():
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    message = image_message(Header(frame_id='cam'), image)
    assert (message.height, message.width, message.step) == (2, 4, 12)
    assert message.encoding == 'bgr8'
    assert message.data.tobytes() == image.tobytes()
