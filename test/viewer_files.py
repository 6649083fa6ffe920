"""What the files for RViz and Foxglove show."""

import json
import re

import yaml

from superpoint_rknn.layouts.foxglove import foxglove_layout
from superpoint_rknn.layouts.rviz import rviz_config

STATUS = re.compile(
    r'/diagnostics\.status\[:\]\{name=="(.*)"\}\.values\[:\]\{key=="(\w+)"\}\.value'
)


def rviz_displays(cameras):
    """Topic and reliability by name of each display."""
    content = yaml.safe_load(rviz_config(cameras))
    displays = content['Visualization Manager']['Displays']
    return {d['Name']: (d['Topic']['Value'], d['Topic']['Reliability Policy']) for d in displays}


def foxglove(cameras):
    """Image topics, annotation topics, and (status, key) of the plotted values of a layout."""
    content = json.loads(foxglove_layout(cameras))
    configs = content['configById']
    assert sorted(panels(content['layout'], configs)) == sorted(configs)  # each one once
    modes = [config['imageMode'] for config in configs.values() if 'imageMode' in config]
    paths = [p['value'] for config in configs.values() for p in config.get('paths', [])]
    return (
        {mode['imageTopic'] for mode in modes},
        {topic for mode in modes for topic in mode.get('annotations', {})},
        {STATUS.fullmatch(path).groups() for path in paths},
    )


def panels(arrangement, configs):
    """Names of the panels of an arrangement, with those in tabs."""
    if isinstance(arrangement, str):
        tabs = configs[arrangement].get('tabs', [])
        return [arrangement, *(each for tab in tabs for each in panels(tab['layout'], configs))]
    assert arrangement['direction'] in ('row', 'column')
    return [each for side in ('first', 'second') for each in panels(arrangement[side], configs)]
