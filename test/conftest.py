"""Leaves out, and says so, what a machine lacks the packages for: a board, a stock ROS 2."""

import importlib.util
from pathlib import Path

HERE = Path(__file__).parent
NEEDS = {
    'model': ('onnx', 'onnxruntime', 'rosbags', 'tqdm', 'skimage'),
    'nodes': ('rclpy', 'onnx', 'onnxruntime', 'skimage'),
    'demo': ('rclpy', 'rosbags', 'tqdm', 'skimage'),
    'runtimes/test_onnx.py': ('onnx', 'onnxruntime', 'skimage'),
    'runtimes/test_onnx_errors.py': ('onnx', 'onnxruntime'),
    'test_doctor.py': ('onnx', 'onnxruntime'),
    'test_packaging.py': ('rclpy', 'setuptools'),
    'test_sources.py': ('rosbags', 'tqdm'),
}
MISSING = {
    HERE / place: [package for package in packages if importlib.util.find_spec(package) is None]
    for place, packages in NEEDS.items()
}


def pytest_ignore_collect(collection_path):
    return True if MISSING.get(collection_path) else None


def pytest_report_header():
    return [
        f'left out: {place.relative_to(HERE)}, needs {", ".join(packages)}'
        for place, packages in MISSING.items()
        if packages
    ]
