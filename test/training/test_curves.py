"""The plot of a run's losses."""

import cv2
import pytest

pytest.importorskip('matplotlib', reason='needs matplotlib')
from training.curves import plot_curves

HEADING = 'step,seconds,loss,detector,norm,right\n'


def test_each_loss_has_a_plot(tmp_path):
    log, picture = tmp_path / 'log.csv', tmp_path / 'curves.png'
    log.write_text(f'{HEADING}1,0.5,3,2,1,0.1\n26,9,2,1,0.5,0.4\n51,20,1,0.5,0.2,0.8\n')
    plot_curves(log, picture)
    height, width, _ = cv2.imread(str(picture)).shape
    assert (height, width) == (520, 1260)  # two rows of three plots


@pytest.mark.parametrize('text', ['', HEADING, f'{HEADING}1,0.5,3,2,1,0.1\n'])
def test_no_plot_is_written_for_fewer_than_two_rows(tmp_path, text):
    log, picture = tmp_path / 'log.csv', tmp_path / 'curves.png'
    log.write_text(text)
    plot_curves(log, picture)
    assert not picture.exists()
