"""docs/inputs.md lists what the code reads."""

import re
from pathlib import Path

import numpy as np
import pytest

from superpoint_rknn.features.image import (
    COLOURS,
    MOSAICS,
    PACKED_LUMA,
    PLANAR_ROWS,
    WORDS,
    EncodingError,
    to_grey,
)
from superpoint_rknn.network.torch_file import WRAPPERS
from superpoint_rknn.network.weights import TORCH_SUFFIXES
from superpoint_rknn.sources.open import PICTURES, VIDEOS
from superpoint_rknn.sources.recording import RECORDINGS

DOCUMENT = Path(__file__).parents[1] / 'docs' / 'inputs.md'


def table(heading):
    """Rows of the table below a heading, as lists of cells."""
    section = DOCUMENT.read_text().partition(f'\n## {heading}\n')[2].partition('\n## ')[0]
    rows = [line.strip('|').split('|') for line in section.splitlines() if line.startswith('|')]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def names(cell):
    return re.findall(r'`([^`]+)`', cell)


def documented_encodings():
    return [name for cells in table('Image encodings') for name in names(cells[0])]


def test_encodings():
    known = {'mono8', '8UC1', *COLOURS, *MOSAICS, *WORDS, *PACKED_LUMA, *PLANAR_ROWS}
    assert sorted(documented_encodings()) == sorted(known)


@pytest.mark.parametrize('encoding', documented_encodings())
def test_documented_encodings_are_converted(encoding):
    data = np.zeros(4 * 4 * 8 * 3, np.uint8)
    assert to_grey(data, 4, 4, 4 * 8, encoding).shape == (4, 4)
    with pytest.raises(EncodingError):
        to_grey(data, 4, 4, 4 * 8, f'{encoding}_')


def test_recordings():
    listed = [name for cells in table('Recordings') for name in names(cells[0])]
    assert sorted(listed) == sorted(RECORDINGS)


def test_other_sources():
    rows = {cells[0]: names(cells[1]) for cells in table('Other sources')}
    assert rows.keys() == {'EuRoC sequence', 'pictures', 'videos'}
    assert rows['pictures'] == sorted(PICTURES)
    assert rows['videos'] == sorted(VIDEOS)


def test_networks():
    rows = [names(cells[0]) for cells in table('Networks')]
    assert rows == [['.onnx'], ['.npz'], [*TORCH_SUFFIXES]]
    wrappers = names(table('Networks')[2][1])
    assert set(WRAPPERS) < set(wrappers)
