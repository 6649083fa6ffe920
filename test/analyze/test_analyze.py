"""The command `analyze`: report, figures and error messages."""

import json
import os
import re
import signal
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from superpoint_rknn import cli

SIZE = (64, 96)
HOUR = timedelta(hours=1)
SHIPPED = Path(__file__).parents[2] / 'models' / 'superpoint_400x640_u8.onnx'
LAYER_KEYS = {
    *('name', 'bits', 'scale', 'zero_point', 'range', 'typical', 'steps_used', 'saturated'),
    *('accumulated', 'own', 'weights_error', 'rounding_error', 'bias_error'),
    *('best_range', 'best_rounding_error', 'effect_logits', 'effect_descriptors'),
}
OUTPUT_KEYS = {
    *('keypoints', 'keypoints_within_1px', 'descriptor_cosine_mean', 'descriptor_cosine_p5'),
    *('logits_cosine', 'logits_relative_error', 'descriptors_relative_error'),
}


@pytest.fixture(scope='module')
def pictures(frames, tmp_path_factory):
    folder = tmp_path_factory.mktemp('pictures')
    for frame in frames[:2]:
        cv2.imwrite(str(folder / f'<b>&{frame.name}'), frame.image)
    return folder


@pytest.fixture(scope='module')
def report(network_file, pictures, tmp_path_factory):
    """HTML and JSON that the command wrote."""
    folder = tmp_path_factory.mktemp('report')
    html, figures = folder / 'report.html', folder / 'figures.json'
    arguments = ['analyze', '--model', str(network_file), '--images', str(pictures)]
    assert cli.main([*arguments, '-o', str(html), '--json', str(figures)]) == 0
    return html.read_text(), json.loads(figures.read_text())


class Page(HTMLParser):
    """Tags, attributes and text of a page; asserts that every tag is closed."""

    VOID = {'meta', 'img'}

    def __init__(self, content):
        super().__init__()
        self.tags, self.attributes, self.text, self._open = [], [], [], []
        self.feed(content)
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_page_has_no_external_resources(report):
    html, _ = report
    page = Page(html)
    assert not {'script', 'link', 'iframe', 'object', 'embed', 'base'} & set(page.tags)
    addresses = [value for name, value in page.attributes if name in ('src', 'href')]
    assert addresses
    assert all(
        address.startswith(('data:image/png;', 'data:image/svg+xml;')) for address in addresses
    )
    assert 'http' not in re.sub(r'base64,[^"]*', '', html)
    assert 'url(' not in html
    assert ('name', 'viewport') in page.attributes


def test_page_contains_layers_findings_and_images(report, frames):
    html, figures = report
    page = Page(html)
    text = ' '.join(page.text).replace('\xa0', ' ')
    for name in ('image', 'conv1a', 'conv4b', 'convPb', 'convDb', 'What to try'):
        assert name in text
    assert figures['networks'][0]['findings'][0]['text'] in text
    assert page.tags.count('img') == 3 + 2  # charts, and a picture for each image
    # File names are escaped.
    assert f'<b>&{frames[0].name}' in text
    assert page.tags.count('b') == 3 + 1  # figures and "What to try"


def test_report_names_model_images_and_date(report, network_file):
    html, figures = report
    date = figures['date']
    assert abs(datetime.now(timezone.utc) - datetime.fromisoformat(f'{date[:16]}+00:00')) < HOUR
    assert f'{network_file.name}, 2 images, {date}' in Page(html).text


def test_keys_of_the_json_figures(report, network_file, frames):
    _, figures = report
    assert set(figures) == {
        *('weights', 'model', 'size', 'images', 'version', 'date', 'networks', 'board')
    }
    assert figures['model']['name'] == network_file.name
    assert figures['size'] == list(SIZE)
    assert len(figures['images']) == 2
    assert figures['board'] is None
    (network,) = figures['networks']
    assert set(network) == {'name', 'layers', 'outputs', 'worst_layer', 'findings'}
    assert set(network['outputs']) == OUTPUT_KEYS
    assert len(network['layers']) == 13
    for layer in network['layers']:
        assert set(layer) == LAYER_KEYS
        assert set(layer['own']) == set(layer['accumulated'])
    assert network['worst_layer'] == network['findings'][0]['layer']
    assert network['outputs']['descriptor_cosine_mean'] > 0.99


def test_text_table(network_file, pictures, tmp_path, capsys):
    arguments = ['analyze', '--model', str(network_file), '--images', str(pictures)]
    arguments += ['--max-images', '1', '-o', str(tmp_path / 'report.html')]
    assert cli.main(arguments) == 0
    out = capsys.readouterr().out
    rows = [line.split() for line in out.splitlines()]
    assert [row[0] for row in rows if row and row[0].startswith('conv')][:3] == [
        *('conv1a', 'conv1b', 'conv2a')
    ]
    assert out.count('<- worst') == 1
    assert 'descriptor cosine 0.99' in out
    assert str(tmp_path / 'report.html') in out


@pytest.mark.parametrize(
    ('change', 'reason'),
    [
        ({'--images': 'empty'}, 'empty: no pictures'),
        ({'--images': 'missing'}, 'missing: no such file or folder'),
        ({'--images': 'broken.png'}, 'broken.png: not a readable picture'),
        ({'--images': None}, 'name images by --images, or the recording of a board by --board'),
        ({'--max-images': '0'}, '--max-images 0: at least one is needed'),
        ({'-o': 'missing/report.html'}, 'missing: no such folder'),
        ({'--json': 'missing/figures.json'}, 'missing: no such folder'),
        ({'--model': 'missing.onnx'}, 'missing.onnx: No such file'),
        ({'--model': 'broken.png'}, 'broken.png: not an ONNX model'),
        ({'--weights': 'missing.npz'}, 'missing.npz'),
        ({'--weights': 'other.npz'}, 'small.onnx was not quantized from these weights'),
        ({'--board': 'empty'}, 'empty: no outputs.npz: record it on the board'),
    ],
)
def test_errors_are_one_line(
    weights, network_file, pictures, tmp_path, capsys, monkeypatch, change, reason
):
    monkeypatch.chdir(tmp_path)
    Path('empty').mkdir()
    Path('broken.png').write_bytes(b'no picture')
    other = {f'{name}.weight': -kernel for name, kernel in weights.kernels.items()}
    np.savez('other.npz', **other, **{f'{n}.bias': b for n, b in weights.biases.items()})
    before = set(tmp_path.iterdir())
    options = {'--model': str(network_file), '--images': str(pictures), **change}
    words = [word for option in options.items() if option[1] for word in option]
    assert cli.main(['analyze', *words]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith('superpoint_rknn: ')
    assert reason in error
    assert set(tmp_path.iterdir()) == before


def test_ctrl_c_leaves_no_file(pictures, tmp_path):
    command = [sys.executable, '-m', 'superpoint_rknn.cli', 'analyze', '--model', str(SHIPPED)]
    command += ['--images', *[str(pictures)] * 8, '-o', 'report.html', '--json', 'figures.json']
    checkout = str(SHIPPED.parents[1])
    environment = {**os.environ, 'PYTHONPATH': checkout}
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    ) as process:
        seen = b''
        while b'on the CPU' not in seen:
            byte = process.stderr.read(1)
            assert byte, seen
            seen += byte
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert 'superpoint_rknn: interrupted\n' in error.decode()
    assert list(tmp_path.iterdir()) == []
