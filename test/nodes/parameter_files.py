"""
Write the files that list all parameters, from the code: `./dev run python THIS_FILE`.

config/superpoint.yaml and config/tracker.yaml are generated completely, the lists of
docs/parameters.md and the table of README.md between their markers.
"""

import math
import textwrap
from pathlib import Path

from superpoint_rknn.nodes.superpoint.parameters import PARAMETERS as SUPERPOINT
from superpoint_rknn.nodes.tracker.parameters import PARAMETERS as TRACKER

REPOSITORY = Path(__file__).resolve().parents[2]
BEGIN, END = '<!-- parameters of {}: begin -->\n', '<!-- parameters of {}: end -->\n'
CODE_WIDTH, TEXT_WIDTH = 99, 120

# In the table of README.md: what one sets first.
IMPORTANT = (
    'model',
    'detector.threshold',
    'detector.max_keypoints',
    'detector.grid',
    'resize',
    'mask',
    'descriptors.rate',
    'cameras',
    'stereo',
)


def yaml_value(value):
    """A default as YAML."""
    if isinstance(value, tuple):
        return f'[{", ".join(map(yaml_value, value))}]'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and math.isnan(value):
        return '.nan'
    return repr(value)


def wrapped(text, width, indent):
    """Text in lines of at most `width` characters."""
    return textwrap.wrap(
        text,
        width,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def constraints(parameter):
    """The range with its unit, or the choices; and whether the parameter is read-only."""
    texts = ['read-only'] if parameter.read_only else []
    if parameter.limits or parameter.choices:
        return [f'{parameter.expectation} {parameter.unit}'.rstrip(), *texts]
    return texts


def config_file(node, parameters):
    """Content of config/NODE.yaml."""
    lines = [
        f'# All parameters of the {node} node at their defaults.',
        '/**:',
        '  ros__parameters:',
    ]
    group = ''
    for parameter in parameters:
        previous, (group, _, name) = group, parameter.name.rpartition('.')
        if group and group != previous:
            lines.append(f'    {group}:')
        indent = ' ' * (6 if group else 4)
        lines += wrapped(parameter.help, CODE_WIDTH, f'{indent}# ')
        facts = f'  # {"; ".join(texts)}' if (texts := constraints(parameter)) else ''
        lines.append(f'{indent}{name}: {yaml_value(parameter.default)}{facts}')
    return '\n'.join(lines) + '\n'


def bullets(parameters):
    """Markdown list of parameters."""
    lines = []
    for parameter in parameters:
        default = f'default `{yaml_value(parameter.default)}`'
        facts = '; '.join([default, *constraints(parameter)])
        text = f'`{parameter.name}` ({facts}): {parameter.help}'
        first, *more = wrapped(text, TEXT_WIDTH, '  ')
        lines += [f'- {first[2:]}', *more]
    return '\n'.join(lines) + '\n'


def table(parameters):
    """Markdown table of parameters."""
    lines = ['| parameter | default | meaning |', '|---|---|---|']
    for p in parameters:
        lines.append(f'| `{p.name}` | `{yaml_value(p.default)}` | {p.help} |')
    return '\n'.join(lines) + '\n'


def document(path, parts):
    """Content of a Markdown file with the text of each part, by name, between its markers."""
    content = path.read_text()
    for name, text in parts.items():
        begin, end = BEGIN.format(name), END.format(name)
        before, _, rest = content.partition(begin)
        _, marker, after = rest.partition(end)
        if not marker:
            raise ValueError(f'{path}: expected the lines {begin!r} and {end!r}')
        content = f'{before}{begin}{text}{end}{after}'
    return content


def files():
    """Content of each file, by path."""
    both = [p for p in SUPERPOINT if p in TRACKER]
    lists = {
        'superpoint': bullets([p for p in SUPERPOINT if p not in both]),
        'tracker': bullets([p for p in TRACKER if p not in both]),
        'both': bullets(both),
    }
    important = {'superpoint': table([p for p in SUPERPOINT if p.name in IMPORTANT])}
    readme, reference = REPOSITORY / 'README.md', REPOSITORY / 'docs/parameters.md'
    return {
        REPOSITORY / 'config/superpoint.yaml': config_file('superpoint', SUPERPOINT),
        REPOSITORY / 'config/tracker.yaml': config_file('tracker', TRACKER),
        readme: document(readme, important),
        reference: document(reference, lists),
    }


if __name__ == '__main__':
    for path, content in files().items():
        path.write_text(content)
