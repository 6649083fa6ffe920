"""
The viewer process: pass records from stdin to rerun. It runs in a Python that has rerun-sdk.

  viewer_script.py PORT [FILE.rrd]

A record on stdin is its length, uint32 little-endian, and an .npz archive of its fields; see
records.py. Serves the page on PORT and the data on PORT + 1, both for this machine alone, and
prints the address of the page. Ends at the end of stdin.
"""

from __future__ import annotations

import io
import struct
import sys
from collections.abc import Iterator
from typing import BinaryIO
from urllib.parse import quote

import numpy as np
import rerun as rr
import rerun.blueprint as rrb
from rerun.blueprint.encodings import TextLogColumnKind, TimelineColumn

MEMORY_LIMIT = '16MiB'  # of the server: what a page loads that is opened later
PLOT_SECONDS = 60  # of the plots
GAP, LEGEND_SIZE = 8, (720, 152)  # [px], see records.py
COLOURS = {
    'image': (130, 130, 130),
    'keypoints': (240, 130, 30),
    'tracks': (40, 160, 60),
    'descriptors': (50, 110, 220),
    'matches': (150, 70, 200),
    'dropped': (240, 130, 30),
    'failed': (210, 30, 30),
    'lost': (150, 70, 200),
}  # RGB of the lines of plots
FURTHER = [(0, 150, 150), (190, 120, 80), (230, 90, 160), (110, 110, 30), (90, 160, 220)]
FURTHER += [(70, 70, 70), (120, 200, 60), (230, 180, 0), (100, 60, 20), (170, 140, 230)]
LOG_COLUMNS = rrb.TextLogColumns(
    timeline_columns=[TimelineColumn('time')],
    text_log_columns=[TextLogColumnKind.LogLevel, TextLogColumnKind.Body],
)
POINT, LINE, PATH_LINE = (rr.Radius.ui_points(r) for r in (2.5, 1.0, 1.5))


def records(stream: BinaryIO) -> Iterator[dict[str, np.ndarray]]:
    """Yield the records of a stream until its end, also in the middle of a record."""
    while len(head := stream.read(4)) == 4:
        (length,) = struct.unpack('<I', head)
        if len(data := stream.read(length)) < length:
            return
        with np.load(io.BytesIO(data), allow_pickle=False) as fields:
            yield dict(fields)


def picture_parts(record: dict[str, np.ndarray]) -> list[rr.AsComponents]:
    """Return what rerun shows for the parts of a picture."""
    parts: list[rr.AsComponents] = []
    if 'image' in record:
        parts.append(rr.Image(record['image']))
    if 'lines' in record:
        lines, colours = record['lines'], record['line_colours']
        parts.append(rr.LineStrips2D(lines, colors=colours, radii=LINE, draw_order=20))
    if 'points' in record:
        points, colours = record['points'], record['point_colours']
        parts.append(rr.Points2D(points, colors=colours, radii=POINT, draw_order=30))
    return parts


def archetype(record: dict[str, np.ndarray]) -> rr.AsComponents:
    """Return what rerun shows for another record."""
    kind = str(record['kind'])
    if kind == 'path':
        return rr.LineStrips3D([record['points']], colors=[40, 190, 255], radii=PATH_LINE)
    if kind == 'pose':
        return rr.Transform3D(
            translation=record['position'], quaternion=rr.Quaternion(xyzw=record['quaternion'])
        )
    if kind == 'axes':
        return rr.TransformAxes3D(axis_length=float(record['length']))
    if kind == 'document':
        return rr.TextDocument(str(record['text']), media_type='text/markdown')
    if kind == 'text':
        return rr.TextLog(str(record['text']), level=str(record['level']))
    raise ValueError(f'record of unknown kind {kind!r}')


class Plots:
    """
    The lines of the plots. The names of an entity that come first together are one group of lines.

    A later name starts another group, since rerun leaves out lines of a group that has grown.
    """

    def __init__(self, recording: rr.RecordingStream):
        self._recording = recording
        self._groups: dict[str, list[dict[str, float]]] = {}  # newest values, by entity
        self._colours: dict[str, list[tuple[int, int, int]]] = {}  # in use, by plot

    def log(self, entity: str, names: list[str], values: list[float]) -> None:
        """Add values to lines by their names; a line without a new value keeps its last one."""
        newest = dict(zip(names, values, strict=True))
        groups = self._groups.setdefault(entity, [])
        if added := newest.keys() - {name for group in groups for name in group}:
            groups.append({name: value for name, value in newest.items() if name in added})
            style = self._style(entity, list(groups[-1]))
            self._recording.log(f'{entity}/{len(groups)}', style, static=True)
        for number, lines in enumerate(groups, 1):
            lines.update((name, newest[name]) for name in lines.keys() & newest.keys())
            self._recording.log(f'{entity}/{number}', rr.Scalars(list(lines.values())))

    def _style(self, entity: str, names: list[str]) -> rr.SeriesLines:
        """Return the style of a group: the colours of the names if unused, else others."""
        _, plot, group = entity.split('/', 2)
        in_use = self._colours.setdefault(plot, [])
        for name in names:
            wanted = [COLOURS[name]] if name in COLOURS else []
            unused = [colour for colour in wanted + FURTHER if colour not in in_use]
            in_use.append(unused[0] if unused else FURTHER[len(in_use) % len(FURTHER)])
        return rr.SeriesLines(
            colors=in_use[-len(names) :],
            widths=[2.0] * len(names),
            names=[name if group == 'camera' else f'{group}/{name}' for name in names],
        )


def plot(name: str, contents: str) -> rrb.TimeSeriesView:
    """Return a plot of the last PLOT_SECONDS."""
    past = rrb.TimeRange(
        start=rrb.TimeRangeBoundary.cursor_relative(seconds=-PLOT_SECONDS),
        end=rrb.TimeRangeBoundary.cursor_relative(),
    )
    return rrb.TimeSeriesView(
        origin='/',
        contents=contents,
        name=name,
        axis_x=rrb.TimeAxis(view_range=past),
        plot_legend=rrb.Corner2D.LeftTop,
    )


def picture(entity: str, name: str, width: int, height: int) -> rrb.Spatial2DView:
    """Return the view of a picture of a size [px]; 0: unknown."""
    bounds = rrb.VisualBounds2D(x_range=[0, width], y_range=[0, height]) if width else None
    return rrb.Spatial2DView(origin=entity, name=name, visual_bounds=bounds)


def camera_views(camera: str, size: list[int], pictures: list[str]) -> rrb.Vertical:
    """
    Return the pictures of a camera.

    size: width, height of its images [px]; 0: unknown. pictures: names of those that exist.
    """
    width, height = size
    views = [picture(f'{camera}/keypoints', 'Keypoints by score', width, height)]
    if 'tracks' in pictures:
        views.append(picture(f'{camera}/tracks', 'Tracks by age', width, height))
    if 'matches' in pictures:
        matches = picture(
            f'{camera}/matches',
            'Matches between the last two images with descriptors (left: the older one)',
            2 * width + GAP if width else 0,
            height,
        )
        views = [rrb.Horizontal(*views), matches]
    return rrb.Vertical(*views, name=camera.removeprefix('/cameras/'))


def layout(record: dict[str, np.ndarray]) -> rrb.Blueprint:
    """Return the layout: pictures on the left, legend, path, plots and log on the right."""
    cameras = zip(
        record['cameras'].tolist(),
        record['sizes'].tolist(),
        np.char.split(record['pictures']).tolist(),
        strict=True,
    )
    pictures = [camera_views(*camera) for camera in cameras]
    has_path = bool(record['has_path'])
    path = [rrb.Spatial3DView(origin='/world', name='Path of the odometry')] if has_path else []
    plots = rrb.Vertical(
        picture('/legend', 'Legend', *LEGEND_SIZE),
        *path,
        rrb.Tabs(
            rrb.Vertical(
                plot('Messages per second', '/rates/**'),
                plot('Keypoints, tracks and matches per image', '/counts/**'),
                plot('Latency from the image stamp [ms]', '/latency_ms/**'),
                plot('Images dropped, failed or lost per second', '/missing/**'),
                name='Rates, counts, latency',
            ),
            plot('Stages [ms]', '/stages_ms/**'),
            rrb.TextLogView(origin='/diagnostics', name='Diagnostics', columns=LOG_COLUMNS),
        ),
        row_shares=[2, *([5] * len(path)), 10],
    )
    if not pictures:
        left = rrb.TextDocumentView(origin='/waiting', name='Waiting')
    else:
        left = rrb.Tabs(*pictures) if len(pictures) > 1 else pictures[0]
    return rrb.Blueprint(
        rrb.Horizontal(left, plots, column_shares=[2, 1]),
        rrb.BlueprintPanel(state='collapsed'),
        rrb.SelectionPanel(state='collapsed'),
        rrb.TimePanel(state='collapsed', timeline='time', play_state='following'),
        auto_layout=False,
        auto_views=False,
    )


def main() -> int:
    """Serve the records of stdin; return the exit code."""
    port = int(sys.argv[1])
    recording = rr.RecordingStream('superpoint_rknn')
    server = rr.GrpcServerSink(
        bind_ip='127.0.0.1', port=port + 1, server_memory_limit=MEMORY_LIMIT, newest_first=True
    )
    recording.set_sinks(server, *(rr.FileSink(path) for path in sys.argv[2:]))
    rr.serve_web_viewer(web_port=port, open_browser=False)
    address = quote(f'rerun+http://localhost:{port + 1}/proxy', safe='')
    print(f'http://localhost:{port}/?url={address}', flush=True)
    plots = Plots(recording)
    for record in records(sys.stdin.buffer):
        if str(record['kind']) == 'layout':
            recording.send_blueprint(layout(record))
            continue
        recording.set_time('time', timestamp=float(record['time']))
        if str(record['kind']) == 'scalars':
            plots.log(str(record['entity']), record['names'].tolist(), record['values'].tolist())
            continue
        is_picture = str(record['kind']) == 'picture'
        shown = picture_parts(record) if is_picture else [archetype(record)]
        recording.log(str(record['entity']), *shown, static=bool(record['static']))
    recording.flush()
    return 0


if __name__ == '__main__':
    sys.exit(main())
