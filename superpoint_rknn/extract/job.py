"""A job of `extract`: one recording, its output and its settings."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from superpoint_rknn.extract.feature_bag import sibling_topic
from superpoint_rknn.sources.bag import Images
from superpoint_rknn.sources.recording import stem


@dataclass(frozen=True)
class Job:
    """One recording, the bag to write, and the settings."""

    bag: str
    output: str
    topics: tuple[str, ...]
    images: int  # on these topics
    model: str  # path
    values: dict[str, Any]  # parameters, see read_parameters
    descriptors_rate: float | None  # [Hz] by timestamp; None: every image
    request: dict[str, Any]  # inputs and settings that a later run compares
    replace: bool  # an output of another request
    threads: int | None = None  # of the CPU runtime; None: its default

    def to_json(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Job:
        """Raises TypeError or ValueError if the bytes are not those of a job."""
        return cls(**json.loads(data))


def output_paths(bags: Sequence[Path], output: Path) -> list[Path]:
    """
    Path of the output bag of each recording: `output`, or a bag in it for each of several.

    Raises ValueError if two recordings share an output, or an output and a recording contain
    each other; links are resolved.
    """
    if len(bags) == 1:
        paths = [output]
    else:
        if (output / 'metadata.yaml').exists():
            raise ValueError(f'{output} is a bag; for several recordings, name a folder for bags')
        paths = [output / (bag.name if bag.is_dir() else stem(bag)) for bag in bags]
    for path, count in Counter(paths).items():
        if count > 1:
            same = ' and '.join(str(b) for b, p in zip(bags, paths, strict=True) if p == path)
            raise ValueError(f'{same} would both be written to {path}: extract them one by one')
    for bag in bags:
        for path in paths:
            source, target = bag.resolve(), path.resolve()
            if source in (target, *target.parents) or target in source.parents:
                raise ValueError(f'{path}: output and recording {bag} must not contain each other')
    return paths


def choose_topics(images: Images, wanted: Sequence[str] | None) -> tuple[str, ...]:
    """
    Image topics to extract from: the wanted ones, else the only one that has images.

    Raises ValueError, with a list of the topics, if a wanted one has no images, if several have
    images and none is wanted, or if two would share their output topics.
    """
    counts = images.counts
    listed = ', '.join(f'{topic} ({counts[topic]})' for topic in sorted(counts)) or 'none'
    filled = [topic for topic in counts if counts[topic]]
    for topic in wanted or ():
        if not counts[topic]:
            raise ValueError(f'{images.path}: no images on {topic!r}; image topics: {listed}')
    if not wanted and len(filled) != 1:
        advice = '; choose with --topic, once for each camera' if filled else ''
        raise ValueError(f'{images.path}: image topics: {listed}{advice}')
    topics = tuple(dict.fromkeys(wanted or filled))
    sources_of = defaultdict(list)
    for topic in topics:
        sources_of[sibling_topic(topic, 'keypoints')].append(topic)
    for keypoints, sources in sources_of.items():
        if len(sources) > 1:
            raise ValueError(
                f'{images.path}: features of {" and ".join(sources)} would share {keypoints}'
            )
    return topics


def file_state(bag: Path) -> dict[str, int]:
    """Total size and newest modification time of a recording's files, to detect changes."""
    files = bag.rglob('*') if bag.is_dir() else [bag]
    states = [file.stat() for file in files if file.is_file()]
    return {
        'bytes': sum(state.st_size for state in states),
        'modified_ns': max((state.st_mtime_ns for state in states), default=0),
    }
