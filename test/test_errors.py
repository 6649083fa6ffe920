"""Text of errors on the terminal."""

import pytest

from superpoint_rknn.cli import main, print_error
from superpoint_rknn.errors import one_line


def test_control_characters_are_escaped_and_lines_joined():
    assert one_line('a\n  b\x1b[2J\x07 \x9b é λ \udc80') == 'a b\\x1b[2J\\x07 \\x9b é λ \\udc80'


def test_a_long_text_is_cut():
    assert one_line('\x1b' * 10**6) == ('\\x1b' * 500) + '...'
    assert one_line('x' * 2000) == 'x' * 2000


def test_names_with_escapes_do_not_reach_the_terminal(tmp_path, capsys):
    pytest.importorskip('rosbags')
    name = '\x1b]0;owned\x07'
    assert print_error(name) == 1
    assert main(['extract', str(tmp_path / name), '-o', str(tmp_path / 'out')]) == 1
    text = capsys.readouterr().err
    assert '\x1b' not in text
    assert text.count('\\x1b]0;owned\\x07') >= 2
