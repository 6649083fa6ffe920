"""Write a layout of Foxglove: images and plots of /diagnostics, in a tab for each camera."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from superpoint_rknn.layouts.camera_topics import CameraTopics, image_topics
from superpoint_rknn.nodes.annotations import ANNOTATED

COLOURS = ('#4e98e2', '#f5774d', '#f7df71')
# Plots: title and, for each line, (node, key of its status in /diagnostics, label).
PLOTS = {
    'rates': (
        'Rates [Hz]',
        ('superpoint', 'keypoints_hz', 'keypoints'),
        ('superpoint', 'descriptors_hz', 'descriptors'),
        ('tracker', 'tracks_hz', 'tracks'),
    ),
    'latency': (
        'From image to topic [ms]',
        ('superpoint', 'total_ms', 'keypoints'),
        ('tracker', 'total_ms', 'tracks'),
        ('tracker', 'track_ms', 'of it tracking'),
    ),
    'tracks': (
        'Tracks, and dropped images',
        ('tracker', 'tracks_alive', 'tracks alive'),
        ('superpoint', 'dropped', 'dropped by superpoint'),
        ('tracker', 'dropped', 'dropped by tracker'),
    ),
}


def foxglove_layout(cameras: Sequence[CameraTopics]) -> str:
    """Return the text of a layout file, for Layouts, Import from file."""
    configs: dict[str, Any] = {
        'DiagnosticSummary!nodes': {
            'minLevel': 0,
            'pinnedIds': [],
            'hardwareIdFilter': '',
            'topicToRender': '/diagnostics',
            'sortByLevel': True,
        }
    }
    pages = [_page(str(number), camera, configs) for number, camera in enumerate(cameras)]
    page: Any = pages[0]
    if len(cameras) > 1:
        tabs = [
            {'title': camera.title, 'layout': page}
            for camera, page in zip(cameras, pages, strict=True)
        ]
        configs['Tab!cameras'] = {'activeTabIdx': 0, 'tabs': tabs}
        page = 'Tab!cameras'
    content = {
        'configById': configs,
        'globalVariables': {},
        'userNodes': {},
        'playbackConfig': {'speed': 1},
        'layout': _split('column', 80, page, 'DiagnosticSummary!nodes'),
    }
    return json.dumps(content, indent=2) + '\n'


def _page(identifier: str, camera: CameraTopics, configs: dict[str, Any]) -> dict:
    """Add the panels of a camera to `configs`; return their arrangement."""
    images = []
    for title, topic in image_topics(camera).items():
        name = f'Image!{identifier}_{title.lower()}'
        mode: dict[str, Any] = {'imageTopic': topic}
        if topic == camera.image:
            topics = [f'{camera.prefix}/{annotated}' for annotated in ANNOTATED.values()]
            mode['annotations'] = {each: {'visible': True} for each in topics}
        configs[name] = {'foxglovePanelTitle': title, 'imageMode': mode}
        images.append(name)
    plots = []
    for plot, (title, *lines) in PLOTS.items():
        name = f'Plot!{identifier}_{plot}'
        configs[name] = _plot(title, camera, lines)
        plots.append(name)
    return _split('column', 60, _row(images), _row(plots))


def _plot(title: str, camera: CameraTopics, lines: Sequence[tuple[str, str, str]]) -> dict:
    paths = [
        {
            'value': f'/diagnostics.status[:]{{name=="{camera.status.format(node)}"}}'
            f'.values[:]{{key=="{key}"}}.value',
            'label': label,
            'enabled': True,
            'timestampMethod': 'receiveTime',
            'color': colour,
        }
        for colour, (node, key, label) in zip(COLOURS, lines, strict=True)
    ]
    return {
        'foxglovePanelTitle': title,
        'paths': paths,
        'showXAxisLabels': True,
        'showYAxisLabels': True,
        'showLegend': True,
        'legendDisplay': 'floating',
        'showPlotValuesInLegend': True,
        'isSynced': True,
        'xAxisVal': 'timestamp',
        'minYValue': 0,
        'followingViewWidth': 60,
    }


def _split(direction: str, percentage: int, first: Any, second: Any) -> dict:
    """Return an inner node of Foxglove's layout, a binary tree."""
    return {
        'direction': direction,
        'splitPercentage': percentage,
        'first': first,
        'second': second,
    }


def _row(names: list[str]) -> Any:
    """Return the arrangement of panels of equal width."""
    if len(names) == 1:
        return names[0]
    return _split('row', round(100 / len(names)), names[0], _row(names[1:]))
