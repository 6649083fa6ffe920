"""
Play images, run both nodes and record their output: three processes in a ROS graph.

Writes into --out: summary.json; overlay.mp4, a video of keypoints, tracks, matches, rates and
latencies; contact_sheet.png, some images with keypoints; bag/ (rosbag2, MCAP); log/.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import bag
import images
import pictures
import summary
import video
from live_view import LiveView

from superpoint_rknn.processes import ProcessError, ProcessGroup
from superpoint_rknn.progress import tqdm

HERE = Path(__file__).parent
CHECKOUT = HERE.parent
START_TIMEOUT = 120.0  # [s] to load a model on a busy machine
END_TIMEOUT = 60.0  # [s] for the last images to be processed and recorded


class DemoError(RuntimeError):
    """A check of the run failed."""


@dataclass(frozen=True)
class Settings:
    """
    What is played to which model.

    source: 'auto', 'sweep', a folder of images, a video or a bag. seconds: duration [s].
    rate: of the player [Hz]. model, runtime: parameters of the node.
    """

    source: str = 'auto'
    seconds: float = 20.0
    rate: float = 30.0
    model: str = ''
    runtime: str = 'auto'


def run(out: Path, settings: Settings, graph: ProcessGroup, view: LiveView) -> dict:
    """
    Run the demo; writes all files into `out` and returns the summary.

    graph: its log files are in `out`/log. view: shows the graph, if that is wanted; then images
    are played until the graph is closed.
    Raises DemoError if a check of the run fails; ProcessError, OSError or ValueError.
    """
    settings = replace(settings, source=images.resolve(settings.source))
    path, log = out / 'bag', out / 'log'
    log.mkdir(parents=True, exist_ok=True)
    for old in log.glob('*.log'):
        old.unlink()
    bag.remove_old(path)
    images_published, reports = play_and_record(path, settings, graph, view)
    recording = bag.read(path)
    figures = summary.summarise(
        recording, reports, images_published, settings.source, settings.rate
    )
    (out / 'summary.json').write_text(json.dumps(figures, indent=2) + '\n')
    if wrong := summary.problems(figures, recording, reports):
        raise DemoError('; '.join(wrong))
    pictures.write_contact_sheet(out / 'contact_sheet.png', path, recording)
    video.write_video(out / 'overlay.mp4', path, recording, settings.rate)
    return figures


def play_and_record(
    path: Path, settings: Settings, graph: ProcessGroup, view: LiveView
) -> tuple[int, summary.Reports]:
    """Record a run in the bag `path`; returns images published and both nodes' diagnostics."""
    count = max(1, round(settings.seconds * settings.rate))
    parameters = ['-p', f'runtime:={settings.runtime}']
    if settings.model:
        parameters += ['-p', f'model:={settings.model}']
    python = sys.executable
    module = ['-m', 'superpoint_rknn.nodes.front_end', '--ros-args', *parameters]
    node = graph.start('node', python, *module)
    recorder = graph.start('recorder', python, HERE / 'recorder.py', path, pipes=True)
    graph.read_line(recorder, START_TIMEOUT)
    view.start(graph)
    if view.is_wanted:
        command = './dev param set /superpoint detector.threshold 0.1'
        print(f'view: in another terminal, try: {command}', file=sys.stderr)
    play = [python, HERE / 'player.py', settings.source, '--rate', settings.rate]
    play += ['--wait', START_TIMEOUT, '--subscribers']
    subscribers = 3 if view.is_wanted else 2  # nodes, recorder, view
    with tqdm(total=round(settings.seconds), desc='playing', unit=' s', disable=None) as bar:
        player = graph.start('player', *play, subscribers, '--count', count, pipes=True)
        images_published = graph.read_line(
            player,
            settings.seconds + START_TIMEOUT,
            lambda waited: bar.update(min(int(waited), bar.total) - bar.n),
        )
    graph.finish(player)
    recorder.write_line(images_published)
    reports = json.loads(graph.read_line(recorder, END_TIMEOUT))
    graph.finish(recorder)
    if view.is_wanted:
        graph.start('endless_player', *play, 2)  # nodes, view
    else:
        node.send_signal(signal.SIGINT)
        graph.finish(node)
    return int(images_published), reports


def positive(text: str) -> float:
    """Parse a finite number above 0."""
    number = float(text)
    if not 0 < number < float('inf'):
        raise ValueError(text)
    return number


def main() -> int:
    """Run the demo from the command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument(
        '--source',
        default=Settings.source,
        help='folder of images, video, rosbag2, "sweep" (simulated camera over photographs) or '
        '"auto" (default): images of a camera from the Debian package visp-images-data, or the '
        'sweep if it cannot be fetched',
    )
    parser.add_argument('--seconds', type=positive, default=Settings.seconds)
    parser.add_argument('--rate', type=positive, default=Settings.rate, help='of the images [Hz]')
    parser.add_argument('--model', default=Settings.model, help="the node's parameter `model`")
    parser.add_argument(
        '--runtime', default=Settings.runtime, help="the node's parameter `runtime`"
    )
    parser.add_argument('--out', type=Path, default=CHECKOUT / 'out' / 'demo')
    parser.add_argument(
        '--view', action='store_true', help='also show it live in a browser, until Ctrl-C'
    )
    arguments = vars(parser.parse_args())
    out, is_viewed = arguments.pop('out'), arguments.pop('view')
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        with LiveView(is_viewed) as view, ProcessGroup(out / 'log', view.domain) as graph:
            print(summary.table(run(out, Settings(**arguments), graph, view)))
            files = 'summary.json, contact_sheet.png, overlay.mp4, bag/, log/'
            print(f'written to {out}: {files}', flush=True)
            view.wait()
    except (DemoError, OSError, ProcessError, ValueError) as error:
        print(f'demo: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('demo: interrupted', file=sys.stderr)
        return 130
    return 0


if __name__ == '__main__':
    sys.exit(main())
