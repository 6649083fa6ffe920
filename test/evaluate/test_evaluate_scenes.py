import hashlib
import json
import zipfile
from pathlib import Path

import pytest

from superpoint_rknn.evaluate import fetch as evaluation_fetch
from superpoint_rknn.evaluate import scenes as evaluation_scenes
from superpoint_rknn.evaluate.pairs import SCENE_SIZE
from superpoint_rknn.evaluate.scenes import (
    LIST,
    OPENCV,
    SKIMAGE,
    SceneFile,
    own_material,
    protocol_material,
    scene_files,
)
from superpoint_rknn.quantize.calibration import calibration_image
from superpoint_rknn.sources.open import open_source

MODELS = Path(__file__).parents[2] / 'models'
SECTIONS = tuple(json.loads(LIST.read_text()))
CARDS = [card for card in sorted(MODELS.glob('*.json')) if '"calibration"' in card.read_text()]
needs_skimage = pytest.mark.skipif(
    any(file.locate() is None for file in scene_files() if file.package == SKIMAGE),
    reason='needs the pictures of requirements/images.txt',
)


@pytest.fixture
def no_opencv_doc(tmp_path, monkeypatch):
    """Simulate a machine without opencv-doc; return the folder that pictures are fetched into."""
    monkeypatch.setattr(evaluation_scenes, 'INSTALLED', tmp_path / 'installed')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    return tmp_path / 'superpoint_rknn' / OPENCV


def test_scenes_of_the_protocol():
    files = scene_files()
    assert len({file.sha256 for file in files}) == 24
    assert [file.package for file in files] == [OPENCV] * 15 + [SKIMAGE] * 9
    assert [Path(file.path).name for file in scene_files('real_pair')] == [
        *('graf1.png', 'graf3.png', 'H1to3p.xml')
    ]
    assert [Path(file.path).name for file in scene_files('stereo')] == [
        *('motorcycle_left.png', 'motorcycle_right.png', 'motorcycle_disp.npz'),
        *('aloeL.jpg', 'aloeR.jpg', 'aloeGT.png'),
    ]
    assert SECTIONS == ('scenes', 'real_pair', 'stereo', 'other_views', 'posters')


@pytest.mark.parametrize('card', CARDS, ids=[card.stem for card in CARDS])
def test_no_shipped_network_was_calibrated_on_a_scene(card):
    entries = [entry for section in SECTIONS for entry in json.loads(LIST.read_text())[section]]
    forbidden = {value for e in entries for key, value in e.items() if key.endswith('sha256')}
    calibration = json.loads(card.read_text())['calibration']
    assert calibration
    assert forbidden.isdisjoint(entry['sha256'] for entry in calibration)
    names = {Path(entry['path']).name for entry in entries}
    assert names.isdisjoint(entry['name'] for entry in calibration)


def test_model_cards_exist():
    assert CARDS


@needs_skimage
def test_grey_values_are_hashed_as_in_model_cards():
    content = json.loads(LIST.read_text())
    for entry in (*content['scenes'], *content['stereo']):
        if entry['package'] == SKIMAGE and entry['path'].endswith('.png'):
            path = SceneFile(entry['package'], entry['path'], entry['sha256']).locate()
            (frame,) = open_source(path)
            grey = calibration_image(frame, (400, 640))
            assert grey.sha256 == entry['grey_400x640_sha256']


def test_missing_scenes_are_an_error_that_names_the_command(no_opencv_doc):
    with pytest.raises(FileNotFoundError, match=r'graf3\.png.* evaluate --fetch.*--allow-missing'):
        protocol_material()


@needs_skimage
def test_missing_scenes_can_be_allowed(no_opencv_doc):
    material = protocol_material(allow_missing=True)
    assert len(material.missing) == 19
    assert material.real_pair is None
    assert [pair.name for pair in material.stereo] == ['motorcycle']
    assert [scene.number for scene in material.scenes] == list(range(15, 24))
    assert material.scenes[0].name == 'astronaut'
    assert all(scene.image.shape == SCENE_SIZE for scene in material.scenes)


def test_no_scene_at_all_is_an_error(no_opencv_doc, monkeypatch):
    monkeypatch.setattr(evaluation_scenes, 'folders', lambda package: [no_opencv_doc])
    with pytest.raises(FileNotFoundError, match='scikit-image'):
        protocol_material(allow_missing=True)


def test_a_file_with_another_hash_counts_as_missing(no_opencv_doc):
    file = SceneFile(OPENCV, 'data/fruits.jpg', hashlib.sha256(b'fruits').hexdigest())
    path = no_opencv_doc / file.path
    path.parent.mkdir(parents=True)
    path.write_bytes(b'vegetables')
    assert file.locate() is None
    path.write_bytes(b'fruits')
    assert file.locate() == path


def test_fetching_keeps_the_missing_scenes_and_removes_the_package(no_opencv_doc, monkeypatch):
    package = no_opencv_doc.parent / 'opencv-doc.whl'
    contents = {'data/a.png': b'a', 'data/b.png': b'b', 'data/c.png': b'c'}
    listed = {p: SceneFile(OPENCV, p, hashlib.sha256(c).hexdigest()) for p, c in contents.items()}
    package.parent.mkdir()
    root = str(evaluation_scenes.INSTALLED).lstrip('/')
    with zipfile.ZipFile(package, 'w') as file:  # read like a Debian package, without dpkg
        for path, content in contents.items():
            file.writestr(f'{root}/{path}', content)

    def files_of(section='scenes'):
        return [listed['data/a.png'] if section == 'scenes' else listed['data/b.png']]

    monkeypatch.setattr(evaluation_fetch, 'INSTALLED', evaluation_scenes.INSTALLED)
    monkeypatch.setattr(evaluation_fetch, 'scene_files', files_of)
    monkeypatch.setattr(evaluation_fetch, 'fetch', lambda wanted, folder: package)
    assert evaluation_fetch.fetch_scenes() == no_opencv_doc
    assert sorted(p.name for p in (no_opencv_doc / 'data').iterdir()) == ['a.png', 'b.png']
    assert listed['data/a.png'].locate() == no_opencv_doc / 'data/a.png'
    assert not package.exists()
    assert evaluation_fetch.fetch_scenes() == no_opencv_doc  # no scene is missing now


def test_own_pictures(tmp_path):
    with pytest.raises(ValueError, match='no pictures'):
        own_material([tmp_path])
    (tmp_path / 'broken.png').write_bytes(b'no picture')
    with pytest.raises(ValueError, match=r'broken\.png: not a readable picture'):
        own_material([tmp_path])
