"""
Play images, run both nodes and record their output: three processes in a ROS graph.

Writes summary.json, contact_sheet.png, overlay.mp4, bag/ (rosbag2, MCAP) and log/ into --out.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path

import bag
import images
import pictures
import summary
from live_view import LiveView

from superpoint_rknn.processes import ProcessError, ProcessGroup
from superpoint_rknn.progress import tqdm

HERE = Path(__file__).parent
CHECKOUT = HERE.parent
START_TIMEOUT = 120.0  # [s] to load a model on a busy machine
END_TIMEOUT = 60.0  # [s] for the last images to be processed and recorded


class DemoError(RuntimeError):
    """A check of the run failed."""


def run(
    out: Path,
    source: str,
    seconds: float,
    rate: float,
    model: str,
    runtime: str,
    view: LiveView,
) -> dict:
    """
    Run the demo for some seconds; writes all files into `out` and returns the summary.

    source: 'auto', 'sweep', a folder of images, a video or a bag. rate: of the player [Hz].
    model, runtime: parameters of the node. view: shows the graph, if that is wanted.
    Raises DemoError if a check of the run fails; ProcessError, OSError or ValueError.
    """
    source = images.resolve(source)
    out.mkdir(parents=True, exist_ok=True)
    path = out / 'bag'
    bag.remove_old(path)
    images_published, report = play_and_record(
        path, out / 'log', source, seconds, rate, model, runtime, view
    )
    recording = bag.read(path)
    figures = summary.summarise(recording, report, images_published, source, rate)
    (out / 'summary.json').write_text(json.dumps(figures, indent=2) + '\n')
    if wrong := summary.problems(figures, recording, report):
        raise DemoError('; '.join(wrong))
    pictures.write_contact_sheet(out / 'contact_sheet.png', path, recording)
    pictures.write_video(out / 'overlay.mp4', path, recording, figures['keypoints_hz'])
    return figures


def play_and_record(
    path: Path,
    log: Path,
    source: str,
    seconds: float,
    rate: float,
    model: str,
    runtime: str,
    view: LiveView,
) -> tuple[int, dict[str, str]]:
    """Record a run in the bag `path`; returns images published and the node's last diagnostics."""
    log.mkdir(exist_ok=True)
    for old in log.glob('*.log'):
        old.unlink()
    count = max(1, round(seconds * rate))
    parameters = ['-p', f'runtime:={runtime}', *(['-p', f'model:={model}'] if model else [])]
    python = sys.executable
    with ProcessGroup(log) as graph:
        module = ['-m', 'superpoint_rknn.nodes.front_end', '--ros-args', *parameters]
        node = graph.start('node', python, *module)
        recorder = graph.start('recorder', python, HERE / 'recorder.py', path, pipes=True)
        graph.read_line(recorder, START_TIMEOUT)
        view.start(graph)
        options = [source, '--count', count, '--rate', rate, '--wait', START_TIMEOUT]
        options += ['--subscribers', 3 if view.is_wanted else 2]  # nodes, recorder, view
        with tqdm(total=round(seconds), desc='playing', unit=' s', disable=None) as bar:
            player = graph.start('player', python, HERE / 'player.py', *options, pipes=True)
            images_published = graph.read_line(
                player,
                seconds + START_TIMEOUT,
                lambda waited: bar.update(min(int(waited), bar.total) - bar.n),
            )
        graph.finish(player)
        recorder.write_line(images_published)
        report = json.loads(graph.read_line(recorder, END_TIMEOUT))
        graph.finish(recorder)
        node.send_signal(signal.SIGINT)
        graph.finish(node)
    return int(images_published), report


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
        default='auto',
        help='folder of images, video, rosbag2, "sweep" (simulated camera over photographs) or '
        '"auto" (default): images of a camera from the Debian package visp-images-data, or the '
        'sweep if it cannot be fetched',
    )
    parser.add_argument('--seconds', type=positive, default=20.0)
    parser.add_argument('--rate', type=positive, default=30.0, help='of the images [Hz]')
    parser.add_argument('--out', type=Path, default=CHECKOUT / 'out' / 'demo')
    parser.add_argument('--model', default='', help="the node's parameter `model`")
    parser.add_argument('--runtime', default='auto', help="the node's parameter `runtime`")
    parser.add_argument('--view', action='store_true', help='show it live in a browser, too')
    arguments = vars(parser.parse_args())
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        with LiveView(arguments.pop('view')) as view:
            print(summary.table(run(**arguments, view=view)))
            print(
                f'written to {arguments["out"]}: summary.json, contact_sheet.png, overlay.mp4, '
                'bag/, log/'
            )
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
