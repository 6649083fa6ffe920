"""Bags and EuRoC sequences as input, and the whole command on one."""

import json

import cv2
import numpy as np
import pytest
from recorded import ROS2, image_of, write_bag

from superpoint_rknn import cli
from superpoint_rknn.evaluate.rooms import camera
from superpoint_rknn.evaluate.rooms.sequences import open_sequence
from superpoint_rknn.vio.inputs import open_recording, read_extrinsics
from superpoint_rknn.vio.recordings import tum_rows

SECONDS = 4.0
CAMERA_POSE = ', '.join(map(repr, camera.BODY_FROM_CAMERA.ravel().tolist()))
SENSOR = f"""%YAML:1.0
sensor_type: camera
T_BS:
  cols: 4
  rows: 4
  data: [{CAMERA_POSE}]
rate_hz: 20
resolution: [640, 400]
camera_model: pinhole
intrinsics: [400.0, 400.0, 319.5, 199.5]
distortion_model: radial-tangential
distortion_coefficients: [-0.25, 0.07, 0.0005, -0.0003]
"""


@pytest.fixture(scope='module')
def sequence(tmp_path_factory):
    return open_sequence('easy', SECONDS, tmp_path_factory.mktemp('rooms'))


@pytest.fixture
def euroc(tmp_path, sequence):
    """The sequence as a EuRoC folder, with the truth."""
    root = tmp_path / 'mav0'
    images = root / 'cam0' / 'data'
    images.mkdir(parents=True)
    lines = []
    for stamp, image in zip(sequence.stamps_ns, sequence.images, strict=True):
        cv2.imwrite(str(images / f'{stamp}.png'), image)
        lines.append(f'{stamp},{stamp}.png')
    (root / 'cam0' / 'data.csv').write_text('#timestamp [ns],filename\n' + '\n'.join(lines))
    (root / 'cam0' / 'sensor.yaml').write_text(SENSOR)
    samples, start = sequence.imu(0), sequence.stamps_ns[0]
    stamps = start + np.rint(samples.times * 1e9).astype(np.int64)
    rows = np.column_stack([samples.gyro, samples.accelerometer])
    write_csv(root / 'imu0', 'w [rad s^-1], a [m s^-2]', stamps, rows)
    poses = tum_rows(sequence.times, sequence.body_poses)[:, 1:]
    truth = np.column_stack([poses[:, :3], poses[:, 6], poses[:, 3:6]])  # w first
    write_csv(root / 'state_groundtruth_estimate0', 'p, q', sequence.stamps_ns, truth)
    return tmp_path


def write_csv(folder, header, stamps, rows):
    folder.mkdir()
    lines = (
        f'{stamp},' + ','.join(f'{value:.9f}' for value in row)
        for stamp, row in zip(stamps, rows, strict=True)
    )
    (folder / 'data.csv').write_text(f'#timestamp [ns],{header}\n' + '\n'.join(lines) + '\n')


def imu_message(stamp, gyro, acc):
    types = ROS2.types
    vector = types['geometry_msgs/msg/Vector3']
    time = types['builtin_interfaces/msg/Time'](*divmod(stamp, 10**9))
    return types['sensor_msgs/msg/Imu'](
        header=types['std_msgs/msg/Header'](stamp=time, frame_id='imu'),
        orientation=types['geometry_msgs/msg/Quaternion'](0.0, 0.0, 0.0, 1.0),
        orientation_covariance=np.zeros(9),
        angular_velocity=vector(*gyro),
        angular_velocity_covariance=np.zeros(9),
        linear_acceleration=vector(*acc),
        linear_acceleration_covariance=np.zeros(9),
    )


@pytest.fixture
def bag(tmp_path):
    """Two images and three IMU samples."""
    picture = np.zeros((400, 640), np.uint8)
    samples = [(10**9 * n, (0.1 * n, 0.2, 0.3), (1.0, 2.0, 9.0 + n)) for n in range(3)]
    topics = {
        '/camera/image': [image_of(ROS2, number, picture) for number in range(2)],
        '/imu/data': [imu_message(*sample) for sample in samples],
        '/imu/slow': [imu_message(*samples[0])],
    }
    return write_bag(tmp_path / 'bag', topics)


@pytest.fixture
def camchain(tmp_path):
    """Calibration by Kalibr, with the pose of the IMU in the camera."""
    rows = np.linalg.inv(camera.BODY_FROM_CAMERA).tolist()
    text = '\n'.join(f'  - {row}' for row in rows)
    path = tmp_path / 'camchain-imucam.yaml'
    path.write_text(
        f'cam0:\n  T_cam_imu:\n{text}\n  camera_model: pinhole\n'
        '  distortion_coeffs: [-0.25, 0.07, 0.0005, -0.0003]\n  distortion_model: radtan\n'
        '  intrinsics: [400.0, 400.0, 319.5, 199.5]\n  resolution: [640, 400]\n'
    )
    return path


def test_reads_euroc(euroc, sequence):
    recording = open_recording(euroc, None, None, None)

    frames = list(recording.images())
    assert len(frames) == len(sequence.images)
    assert frames[1][0] == pytest.approx(1000.05)
    np.testing.assert_array_equal(frames[1][1], sequence.images[1])
    np.testing.assert_allclose(recording.body_from_camera, camera.BODY_FROM_CAMERA)
    assert recording.settings.focal == 400
    samples = sequence.imu(0)
    np.testing.assert_allclose(recording.imu[0][:, 0], 1000 + samples.times, atol=1e-6)
    np.testing.assert_allclose(recording.imu[0][:, 4:], samples.accelerometer, atol=1e-8)
    expected = tum_rows(1000 + sequence.times, sequence.body_poses)
    np.testing.assert_allclose(recording.truth, expected, atol=1e-6)


def test_reads_a_bag(bag, camchain):
    recording = open_recording(bag, camchain, None, None)

    assert [image.shape for _, image in recording.images()] == [(400, 640)] * 2
    expected = [[n, 0.1 * n, 0.2, 0.3, 1.0, 2.0, 9.0 + n] for n in range(3)]
    np.testing.assert_allclose(recording.imu[0], expected)
    np.testing.assert_allclose(recording.body_from_camera, camera.BODY_FROM_CAMERA, atol=1e-12)
    assert recording.truth is None


def test_measures_a_euroc_sequence(euroc, tmp_path, capsys):
    """4 s of a calm motion: 1 to 3 cm of error, and 6 m of way."""
    report, out = tmp_path / 'vio.json', tmp_path / 'out'
    arguments = ['--row', 'corners', '--starts', '1', '--json', str(report), '--out', str(out)]

    assert cli.main(['vio', str(euroc), *arguments]) == 0

    (entry,) = json.loads(report.read_text())['sequences']
    (row,) = entry['rows']
    assert (row['name'], row['failed'], len(row['runs'])) == ('corners', 0, 1)
    assert 0.0005 < row['ate_m'] < 0.05
    assert row['ate_interval_m'] is None
    assert row['init_s'] == pytest.approx(1.0, abs=0.6)
    assert 50 < row['mean_tracks'] <= 150
    folder = out / entry['name']
    estimate = np.loadtxt(folder / 'corners.tum')
    assert estimate.shape[1] == 8
    assert len(estimate) > 20
    assert (folder / 'errors.png').read_bytes().startswith(b'\x89PNG')
    assert len(np.loadtxt(folder / 'truth.tum')) == 80
    assert 'corners' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('intrinsics: [1, 2]', 'no pose of the camera in the frame of the IMU'),
        ('T_BS: [1, 2, 3]', 'T_BS: expected 4 x 4 numbers'),
        ('T_BS: [2,0,0,0, 0,1,0,0, 0,0,1,0, 0,0,0,1]', 'T_BS: not a rigid transform'),
    ],
)
def test_refuses_a_calibration_without_a_valid_pose(tmp_path, text, expected):
    path = tmp_path / 'camera.yaml'
    path.write_text(text)

    with pytest.raises(ValueError, match=expected):
        read_extrinsics(path)


def test_a_bag_needs_a_calibration(bag, capsys):
    assert cli.main(['vio', str(bag)]) == 1
    assert 'set --calibration' in capsys.readouterr().err


def test_a_bag_needs_an_imu(tmp_path, camchain, capsys):
    picture = np.zeros((400, 640), np.uint8)
    path = write_bag(tmp_path / 'blind', {'/image': [image_of(ROS2, 0, picture)]})

    assert cli.main(['vio', str(path), '--calibration', str(camchain)]) == 1
    assert 'no sensor_msgs/Imu' in capsys.readouterr().err


def test_refuses_options_that_do_not_fit(tmp_path, capsys):
    assert cli.main(['vio', '--calibration', 'a.yaml']) == 1
    assert '--calibration: not an option of rendered sequences' in capsys.readouterr().err
    assert cli.main(['vio', str(tmp_path), '--sequence', 'easy']) == 1
    assert 'expected one of them' in capsys.readouterr().err
    assert cli.main(['vio', '--starts', '0']) == 1
    assert '--starts' in capsys.readouterr().err
