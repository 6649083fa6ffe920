"""Version, package.xml, changelog and citation of the package."""

import sys
from pathlib import Path

import pytest
import yaml

import superpoint_rknn
from superpoint_rknn import cli

CHECKOUT = Path(__file__).resolve().parents[1]


@pytest.fixture
def package():
    return pytest.importorskip('catkin_pkg.package').parse_package(CHECKOUT)


def provide_package_xml(monkeypatch, tmp_path, content):
    """Let the package find a package.xml of this content."""
    path = tmp_path / 'package.xml'
    path.write_text(content)
    monkeypatch.setattr('superpoint_rknn.files.find_shared_file', lambda name: tmp_path / name)
    return path


def test_version_is_that_of_package_xml(package):
    assert superpoint_rknn.__version__ == package.version


def test_version_is_read_and_not_repeated(monkeypatch, tmp_path):
    provide_package_xml(monkeypatch, tmp_path, '<package><version>9.8.7</version></package>')
    assert superpoint_rknn.__version__ == '9.8.7'


def test_package_xml_without_version(monkeypatch, tmp_path):
    path = provide_package_xml(monkeypatch, tmp_path, '<package/>')
    with pytest.raises(ValueError, match=f'{path}: no <version>'):
        _ = superpoint_rknn.__version__


def test_commands_say_that_package_xml_is_not_installed(monkeypatch, capsys):
    def find_nothing(name):
        raise FileNotFoundError(f'{name}: not installed')

    monkeypatch.setattr('superpoint_rknn.files.find_shared_file', find_nothing)
    for name in [n for n in sys.modules if n.startswith('superpoint_rknn.doctor.')]:
        monkeypatch.delitem(sys.modules, name)
    assert cli.main(['doctor']) == 1
    assert capsys.readouterr().err == 'superpoint_rknn: package.xml: not installed\n'


def test_package_xml_is_valid(package):
    warnings = []
    package.validate(warnings)
    assert warnings == []


@pytest.mark.filterwarnings('ignore::DeprecationWarning')  # of docutils, in catkin_pkg
def test_changelog_can_be_released(package):
    """catkin_prepare_release turns the section Forthcoming into that of the next version."""
    changelog = pytest.importorskip('catkin_pkg.changelog')
    release = pytest.importorskip('catkin_pkg.cli.tag_changelog')
    text = (CHECKOUT / 'CHANGELOG.rst').read_text(encoding='utf-8')
    released = release.rename_section(
        text, release.get_forthcoming_label(text), '9.8.7 (2030-01-01)'
    )
    parsed = changelog.Changelog(package.name)
    changelog.populate_changelog_from_rst(parsed, released)
    assert [version for version, _, _ in parsed.foreach_version()] == [package.version, '9.8.7']
    assert all(parsed.get_content_of_version(v) for v in ('9.8.7', package.version))


def test_citation_has_version_and_licence_of_the_package(package):
    citation = yaml.safe_load((CHECKOUT / 'CITATION.cff').read_text())
    assert citation['cff-version'] == '1.2.0'
    assert citation['version'] == package.version
    assert citation['license'] == package.licenses[0]
    assert citation['repository-code'] == package.urls[1].url
