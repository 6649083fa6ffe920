"""The site of the documentation, made by `./dev docs` from the same files as are read here."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

project = 'superpoint_rknn'
extensions = ['myst_parser', 'sphinxcontrib.mermaid']
root_doc = 'README'
html_theme = 'furo'
html_title = project
html_show_copyright = False
myst_heading_anchors = 4  # links such as node.md#topics
myst_fence_as_directive = ['mermaid']
PACKAGE = ET.parse(Path(__file__).parents[1] / 'package.xml')
REPOSITORY = PACKAGE.findtext('url[@type="repository"]')
TABLE = re.compile(r'^\| ([^|]+) \| \|\n((?:\|.*\n)+)', re.MULTILINE)
PAGE = re.compile(r'\]\(([\w/]+)\.md\)')
TREE = """
```{{toctree}}
:hidden:
:caption: {}

{}
```
"""


def contents(index):
    """Return trees of the pages that the index links: one for each table, and one for the rest."""
    groups = {title[0].upper() + title[1:]: rows for title, rows in TABLE.findall(index)}
    groups['More'] = TABLE.sub('', index)
    pages = {title: '\n'.join(PAGE.findall(text)) for title, text in groups.items()}
    return ''.join(TREE.format(title, names) for title, names in pages.items() if names)


def adapt(app, name, source):
    """List the pages beside the text; link files outside docs/ in the repository."""
    outside = re.escape('../' * (name.count('/') + 1))
    source[0] = re.sub(rf'\]\({outside}(?!\.)', f']({REPOSITORY}/blob/main/', source[0])
    if name == root_doc:
        source[0] += contents(source[0])


def setup(app):
    """Register `adapt` with Sphinx."""
    app.connect('source-read', adapt)
