"""The test suite with other pytest plugins."""

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
LOGGERS_WITHOUT_PROPAGATION = """
import logging

class Logger(logging.Logger):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.propagate = False

logging.setLoggerClass(Logger)
"""


def test_caplog_works_with_the_plugin_of_launch_testing(tmp_path):
    (tmp_path / 'loggers.py').write_text(LOGGERS_WITHOUT_PROPAGATION)
    tests = HERE / 'runtimes' / 'test_librknn_errors.py'
    result = subprocess.run(
        [sys.executable, '-m', 'pytest', '-q', '-p', 'loggers', tests],
        env=os.environ
        | {'PYTHONPATH': os.pathsep.join([str(tmp_path), *sys.path]), 'PYTEST_ADDOPTS': ''},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert result.returncode == 0, result.stdout
