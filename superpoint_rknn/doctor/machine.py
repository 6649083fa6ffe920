"""What is known of the machine: versions, board, NPU driver and libraries."""

from __future__ import annotations

import importlib.util
import platform
from typing import Any

import cv2
import numpy as np

from superpoint_rknn import __version__
from superpoint_rknn.native.library import implementation
from superpoint_rknn.runtimes.board import board_model, npu_driver_version
from superpoint_rknn.runtimes.rknn.library import probe_libraries


def inspect_machine(soc: str | None, advice: list[str]) -> dict[str, Any]:
    """
    Return the report of a machine, as `machine_text` prints it.

    soc: the chip, see `detect_soc`. advice: receives how to repair what is missing.
    """
    return {
        'system': _system(),
        'decode_and_describe': implementation(),
        'board': _board(soc, advice),
    }


def _system() -> dict[str, str]:
    return {
        'superpoint_rknn': __version__,
        'machine': platform.machine(),
        'python': platform.python_version(),
        'numpy': np.__version__,
        'opencv': cv2.__version__,
    }


def _board(soc: str | None, advice: list[str]) -> dict[str, Any]:
    driver, libraries = npu_driver_version(), probe_libraries()
    if soc is None:
        advice.append('this is no Rockchip board: the model runs on the CPU')
    elif driver is None:
        advice.append(
            'the NPU driver version cannot be read: load the driver (rknpu; on RV1126 galcore), '
            'or run as root to read /sys/kernel/debug'
        )
    if soc and all(probe.reason for probe in libraries):
        advice.append(
            "no usable RKNN library: install the board vendor's librknnrt.so, or librknn_api.so "
            'on RV1126 and RV1109'
        )
    return {
        'model': board_model(),
        'soc': soc,
        'npu_driver': driver,
        'libraries': [vars(probe) for probe in libraries],
        'rknnlite': importlib.util.find_spec('rknnlite') is not None,
    }
