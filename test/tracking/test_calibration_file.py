"""Calibration files of ROS, Kalibr, EuRoC and VINS, and files that must be refused."""

import os
import threading

import pytest

from superpoint_rknn.tracking.calibration import Calibration
from superpoint_rknn.tracking.calibration_file import read_calibration

ROS = """\
image_width: 640
image_height: 480
camera_name: narrow_stereo/left
camera_matrix:
  rows: 3
  cols: 3
  data: [ 438.78,   0.   , 305.59,
            0.   , 437.33, 243.74,
            0.   ,   0.   ,   1.   ]
distortion_model: plumb_bob
distortion_coefficients:
  rows: 1
  cols: 5
  data: [-0.361976, 0.110510, 0.001014, 0.000505, 0.0]
rectification_matrix: {rows: 3, cols: 3, data: [0.999, 0., 0.04, 0., 1., 0., -0.04, 0., 0.999]}
projection_matrix:
  {rows: 3, cols: 4, data: [393.6, 0., 322.7, -50.0, 0., 393.6, 241.1, 0., 0., 0., 1., 0.]}
"""
ECHO = """\
header:
  stamp: {sec: 1, nanosec: 5}
  frame_id: camera
height: 480
width: 640
distortion_model: equidistant
d:
- 0.1
- -0.02
- 0.003
- 0.0
k: [400.0, 0.0, 320.0, 0.0, 401.0, 240.0, 0.0, 0.0, 1.0]
r: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
p: [400.0, 0.0, 320.0, 0.0, 0.0, 401.0, 240.0, 0.0, 0.0, 0.0, 1.0, 0.0]
binning_x: 2
binning_y: 1
roi: {x_offset: 8, y_offset: 4, height: 400, width: 600, do_rectify: true}
---
"""
CHAIN = """\
cam0:
  T_cam_imu:
  - [0.0148655429818, -0.999880929698, 0.00414029679422, -0.0216401454975]
  - [0.0, 0.0, 0.0, 1.0]
  cam_overlaps: [1]
  camera_model: pinhole
  distortion_coeffs: [-0.28340811, 0.07395907, 0.00019359, 1.76187114e-05]
  distortion_model: radtan
  intrinsics: [458.654, 457.296, 367.215, 248.375]
  resolution: [752, 480]
  rostopic: /cam0/image_raw
cam1:
  camera_model: pinhole
  distortion_coeffs: [0.01, -0.02, 0.003, 0.0]
  distortion_model: equidistant
  intrinsics: [190.9, 190.8, 254.9, 256.8]
  resolution: [512, 511]
cam2:
  camera_model: omni
  distortion_coeffs: [-0.2, 0.02, 0.001, -0.001]
  distortion_model: radtan
  intrinsics: [1.7, 800.0, 801.0, 375.0, 240.0]
  resolution: [752, 480]
"""
EUROC = """\
# General sensor definitions.
sensor_type: camera
T_BS:
  cols: 4
  rows: 4
  data: [0.0, -1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0]
rate_hz: 20
resolution: [752, 480]
camera_model: pinhole
intrinsics: [458.654, 457.296, 367.215, 248.375] #fu, fv, cu, cv
distortion_model: radial-tangential
distortion_coefficients: [-0.28340811, 0.07395907, 0.00019359, 1.76187114e-05]
"""
PINHOLE = """\
%YAML:1.0
---
model_type: PINHOLE
camera_name: camera
image_width: 752
image_height: 480
distortion_parameters:
   k1: -2.917e-01
   k2: 8.228e-02
   p1: 5.333e-05
   p2: -1.578e-04
projection_parameters:
   fx: 4.616e+02
   fy: 4.603e+02
   cx: 3.630e+02
   cy: 2.481e+02
extrinsicRotation: !!opencv-matrix
   rows: 1
   cols: 3
   dt: d
   data: [0, -1, 0]
"""
KANNALA_BRANDT = """\
%YAML:1.0
---
model_type: KANNALA_BRANDT
camera_name: camera
image_width: 848
image_height: 800
projection_parameters:
   k2: -0.0093
   k3: 0.0462
   k4: -0.0434
   k5: 0.0080
   mu: 286.1
   mv: 286.2
   u0: 424.5
   v0: 402.5
"""
MEI = """\
%YAML:1.0
---
model_type: MEI
camera_name: camera
image_width: 752
image_height: 480
mirror_parameters:
   xi: 2.3
distortion_parameters:
   k1: -0.2
   k2: 0.02
   p1: 0.001
   p2: -0.001
projection_parameters:
   gamma1: 1500
   gamma2: 1501
   u0: 370
   v0: 250
"""
EUROC_CAM0 = Calibration(
    480,
    752,
    'radtan',
    (-0.28340811, 0.07395907, 0.00019359, 1.76187114e-05),
    (458.654, 0, 367.215, 0, 457.296, 248.375, 0, 0, 1),
)


def read(tmp_path, text, *args, **kwargs):
    path = tmp_path / 'camera.yaml'
    path.write_text(text)
    return read_calibration(path, *args, **kwargs)


def test_ros(tmp_path):
    assert read(tmp_path, ROS) == Calibration(
        480,
        640,
        'plumb_bob',
        (-0.361976, 0.11051, 0.001014, 0.000505, 0),
        (438.78, 0, 305.59, 0, 437.33, 243.74, 0, 0, 1),
        (0.999, 0, 0.04, 0, 1, 0, -0.04, 0, 0.999),
        (393.6, 0, 322.7, -50, 0, 393.6, 241.1, 0, 0, 0, 1, 0),
    )


def test_printed_camera_info(tmp_path):
    expected = Calibration(
        480,
        640,
        'equidistant',
        (0.1, -0.02, 0.003, 0),
        (400, 0, 320, 0, 401, 240, 0, 0, 1),
        (1, 0, 0, 0, 1, 0, 0, 0, 1),
        (400, 0, 320, 0, 0, 401, 240, 0, 0, 0, 1, 0),
        (2, 1),
        (8, 4),
        (600, 400),
    )
    assert read(tmp_path, ECHO) == expected
    ros1 = ECHO
    for name in 'dkrp':
        ros1 = ros1.replace(f'\n{name}:', f'\n{name.upper()}:')
    assert read(tmp_path, ros1) == expected


def test_entries_of_a_camchain_by_number_and_by_name(tmp_path):
    first = read(tmp_path, CHAIN)
    assert first == read(tmp_path, CHAIN, 'left', 0, shared=True) == EUROC_CAM0
    second = Calibration(
        511,
        512,
        'equidistant',
        (0.01, -0.02, 0.003, 0),
        (190.9, 0, 254.9, 0, 190.8, 256.8, 0, 0, 1),
    )
    assert second == read(tmp_path, CHAIN, 'right', 1, shared=True)
    assert second == read(tmp_path, CHAIN, 'cam1', 0, shared=True)
    assert read(tmp_path, CHAIN, number=2) == Calibration(
        480,
        752,
        'mei',
        (1.7, -0.2, 0.02, 0.001, -0.001),
        (800, 0, 375, 0, 801, 240, 0, 0, 1),
    )
    alone = CHAIN[CHAIN.index('cam1:') : CHAIN.index('cam2:')]
    assert read(tmp_path, alone, 'left', 0) == second
    with pytest.raises(ValueError, match='cam0: missing, the file has cam1'):
        read(tmp_path, alone, 'left', 0, shared=True)


def test_euroc(tmp_path):
    found = read(tmp_path, EUROC)
    assert (found.d, found.k) == (EUROC_CAM0.d, EUROC_CAM0.k)
    assert found.camera_model((480, 752)).focal == pytest.approx(457.975)


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        (
            PINHOLE,
            Calibration(
                480,
                752,
                'plumb_bob',
                (-0.2917, 0.08228, 5.333e-05, -1.578e-04),
                (461.6, 0, 363, 0, 460.3, 248.1, 0, 0, 1),
            ),
        ),
        (
            KANNALA_BRANDT,
            Calibration(
                800,
                848,
                'equidistant',
                (-0.0093, 0.0462, -0.0434, 0.0080),
                (286.1, 0, 424.5, 0, 286.2, 402.5, 0, 0, 1),
            ),
        ),
        (
            MEI,
            Calibration(
                480,
                752,
                'mei',
                (2.3, -0.2, 0.02, 0.001, -0.001),
                (1500, 0, 370, 0, 1501, 250, 0, 0, 1),
            ),
        ),
    ],
)
def test_vins(tmp_path, text, expected):
    assert read(tmp_path, text) == expected


def changed(text, old, new):
    assert text.count(old) == 1
    return text.replace(old, new)


@pytest.mark.parametrize(
    ('text', 'reason'),
    [
        ('', 'no YAML mapping'),
        ('- 1\n', 'no YAML mapping'),
        ('a: 1\n', 'no calibration found: expected camera_matrix'),
        ('%YAML:1.0\nimu: 1\ncam0_calib: "cam0_mei.yaml"\n', "cam0_calib names, 'cam0_mei.yaml'"),
        ('a: [1\nb: 2\n', 'line 2: not valid YAML'),
        ('a: \x07\n', 'not valid YAML: .*special characters'),
        ('a: &x [1]\nb: *x\n', r'line 2: the alias \*x: write the value itself'),
        ('a: 1\na: 2\n', "line 2: 'a' is there twice"),
        ('? [a]\n: 1\n', 'line 1: a list or mapping as a key'),
        ('a: ' + '[' * 20, 'line 1: nested deeper than 16'),
        ('a: [' + '1,' * 20_001 + ']', 'line 1: more than 20000 values'),
        ('a: 1\n' + '#' * 2**20, '1048581 bytes, expected at most 1048576'),
        (changed(ROS, '438.78,', ''), 'camera_matrix: .*, expected a list of 9 numbers'),
        (changed(ROS, '438.78', 'x'), "camera_matrix: 'x', expected a number"),
        (changed(ROS, 'image_width: 640', 'image_width: 640.5'), "image_width: '640.5', expected"),
        (changed(ROS, 'image_width: 640', 'image_width: 65536'), '65536.*, 0 to 65535'),
        (changed(ROS, 'image_width: 640', ''), 'image_width: missing'),
        (changed(ROS, 'distortion_coefficients', 'D'), 'distortion_coefficients: missing'),
        (changed(ECHO, 'roi: {', 'roi: x\nother: {'), "roi: 'x', expected x_offset"),
        (
            changed(CHAIN, '[752, 480]\n  rostopic', '[752]\n  rostopic'),
            r"cam0: resolution: \['752'\]",
        ),
        (CHAIN.replace('pinhole', 'eucm'), "cam0: camera_model: 'eucm', expected pinhole or omni"),
        (changed(PINHOLE, 'PINHOLE', 'SCARAMUZZA'), "model_type: 'SCARAMUZZA', expected one of"),
        (changed(PINHOLE, '   fx: 4.616e+02\n', ''), r'projection_parameters\.fx: missing'),
        (changed(MEI, 'xi: 2.3', 'xi: x'), r"mirror_parameters\.xi: 'x', expected a number"),
    ],
)
def test_invalid_files_are_refused(tmp_path, text, reason):
    with pytest.raises(ValueError, match=reason):
        read(tmp_path, text)


def test_file_of_one_camera_is_refused_for_several(tmp_path):
    with pytest.raises(ValueError, match='one camera, but it is for several'):
        read(tmp_path, ROS, 'left', 0, shared=True)


def test_only_regular_files_of_text_are_read(tmp_path):
    fifo = tmp_path / 'fifo'
    os.mkfifo(fifo)
    errors = []

    def run():
        try:
            read_calibration(fifo)
        except ValueError as error:
            errors.append(str(error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(10)
    assert errors == [
        'expected a regular file, not a FIFO, socket or device'
    ]  # else it is blocked
    with pytest.raises(IsADirectoryError):
        read_calibration(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_calibration(tmp_path / 'missing.yaml')
    (tmp_path / 'binary').write_bytes(b'a: \xff')
    with pytest.raises(ValueError, match='byte 3: no UTF-8 text'):
        read_calibration(tmp_path / 'binary')
