"""Detection of chip, board and NPU driver."""

import pytest

from superpoint_rknn.runtimes.board import board_model, detect_soc, npu_driver_version


@pytest.mark.parametrize(
    ('compatible', 'soc'),
    [
        (b'rockchip,rv1126-evb-ddr3-v13\0rockchip,rv1126\0', 'rv1126'),
        (b'rockchip,rv1126b-evb1-v10\0rockchip,rv1126b\0', 'rv1126b'),
        (b'rockchip,rk3588-evb1-lp4-v10\0rockchip,rk3588\0', 'rk3588'),
        (b'radxa,rock-5a\0rockchip,rk3588s\0', 'rk3588'),
        (b'xunlong,orangepi-5\0rockchip,rk3588s\0rockchip,rk3588\0', 'rk3588'),
        (b'raspberrypi,4-model-b\0brcm,bcm2711\0', None),
    ],
)
def test_detect_soc(tmp_path, compatible, soc):
    file = tmp_path / 'compatible'
    file.write_bytes(compatible)
    assert detect_soc(file) == soc


def test_board_model(tmp_path):
    file = tmp_path / 'model'
    file.write_bytes(b'Radxa ROCK 5B\0')
    assert board_model(file) == 'Radxa ROCK 5B'


def test_npu_driver_version(tmp_path):
    module, debug = tmp_path / 'module', tmp_path / 'debug'
    assert npu_driver_version((module, debug)) is None
    debug.write_text('RKNPU driver: v0.9.8\n')
    assert npu_driver_version((module, debug)) == '0.9.8'
    module.write_text('6.4.3.5.293908\n')
    assert npu_driver_version((module, debug)) == '6.4.3.5.293908'


def test_machine_without_a_device_tree(tmp_path):
    assert detect_soc(tmp_path / 'none') is None
    assert board_model(tmp_path / 'none') is None
