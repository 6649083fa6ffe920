"""The documents: links, the index, the length of README, the commands that they name."""

import re
import subprocess
from pathlib import Path

import pytest

from superpoint_rknn.cli import COMMANDS

CHECKOUT = Path(__file__).resolve().parents[1]
DOCUMENTS = [
    *CHECKOUT.glob('*.md'),
    *(p for folder in ('docs', 'models', 'training') for p in (CHECKOUT / folder).rglob('*.md')),
]
LINK = re.compile(r'\]\(([^)\s]+)\)')


def relative(path):
    return str(path.relative_to(CHECKOUT))


def text_of(path):
    """Content of a document without its blocks of code."""
    return re.sub(r'^```.*?^```', '', path.read_text(), flags=re.DOTALL | re.MULTILINE)


def anchors(path):
    """Anchors of the headings of a document, as GitHub makes them."""
    headings = re.findall(r'^#+ (.*)$', text_of(path), re.MULTILINE)
    return {re.sub(r'[^\w\- ]', '', h.lower()).replace(' ', '-') for h in headings}


@pytest.mark.parametrize('document', DOCUMENTS, ids=relative)
def test_links_lead_to_files_and_headings(document):
    links = [link for link in LINK.findall(text_of(document)) if '://' not in link]
    for link in links:
        name, _, anchor = link.partition('#')
        target = (document.parent / name).resolve() if name else document
        assert target.exists(), link
        assert target.is_relative_to(CHECKOUT), link
        if anchor:
            assert anchor in anchors(target), link


def test_links_are_found():
    assert '#what-was-tested-where' in LINK.findall((CHECKOUT / 'README.md').read_text())
    assert 'what-was-tested-where' in anchors(CHECKOUT / 'README.md')


def test_the_index_lists_every_document():
    index = CHECKOUT / 'docs' / 'README.md'
    listed = {link for link in LINK.findall(index.read_text()) if '/' not in link}
    assert listed == {p.name for p in (CHECKOUT / 'docs').glob('*.md')} - {index.name}


def test_each_fault_names_the_test_or_command_that_repeats_it():
    tests = {
        name
        for path in (CHECKOUT / 'test').rglob('test_*.py')
        for name in re.findall(r'^def (test_\w+)', path.read_text(), re.MULTILINE)
    }
    lines = (CHECKOUT / 'docs' / 'reliability.md').read_text().splitlines()
    tables = [i for i, line in enumerate(lines) if line.startswith('| fault |')]
    assert len(tables) == 4
    for first in tables:
        assert lines[first].endswith('| repeated by |')
        for line in lines[first + 2 : lines.index('', first)]:
            cell = line.rstrip('| ').rpartition(' | ')[2]
            named = set(re.findall(r'`(test_\w+)`', cell))
            assert named or '`' in cell or cell == 'the same', line
            assert named <= tests, line


def test_readme_is_short():
    assert len((CHECKOUT / 'README.md').read_text().splitlines()) <= 160


def test_every_command_is_described():
    header, *rows = re.findall(
        r'^\| `(\w[\w-]*)', (CHECKOUT / 'docs/commands.md').read_text(), re.MULTILINE
    )
    assert header == 'superpoint_rknn'
    assert sorted(rows) == sorted(COMMANDS)


@pytest.mark.parametrize('document', DOCUMENTS, ids=relative)
def test_commands_exist(document):
    """As they stand at the start of a line or of `code`, or after a path or `./dev run`."""
    text = document.read_text()
    named = re.findall(r'(?:^|`|bin/|dev run )superpoint_rknn ([a-z][\w-]+)', text, re.MULTILINE)
    assert set(named) <= COMMANDS.keys()


@pytest.mark.parametrize('document', DOCUMENTS, ids=relative)
def test_commands_of_dev_exist(document):
    usage = subprocess.run(
        [CHECKOUT / 'dev', 'help'], capture_output=True, text=True, check=True
    ).stdout
    listed = re.findall(r'^  ([a-z][\w-]+)', usage, re.MULTILINE)
    named = re.findall(r'\./dev ([a-z][\w-]+)', document.read_text())
    assert set(named) <= {*listed, 'help'}


def test_licences_of_all_requirements_and_pictures_are_listed():
    text = (CHECKOUT / 'docs/licences.md').read_text()
    required = {
        name
        for path in CHECKOUT.glob('requirements/*.in')
        for name in re.findall(r'^([\w.-]+)', path.read_text(), re.MULTILINE)
        if not name.startswith('ros-')
    }
    listed = {
        name
        for row in re.findall(r'^\| ([^|]*) \|', text, re.MULTILINE)
        for name in row.split(', ')
    }
    assert required <= listed
    drawn = {'analysis.png'}  # by our own programs, without photographs
    pictures = {p.name for p in (CHECKOUT / 'docs').iterdir() if p.suffix in ('.png', '.jpg')}
    assert pictures - drawn <= set(LINK.findall(text))
