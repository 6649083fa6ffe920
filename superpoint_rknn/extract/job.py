"""What is to be extracted from which recording, settled before the work begins."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from superpoint_rknn.extract.feature_bag import beside
from superpoint_rknn.sources.bag import Images


@dataclass(frozen=True)
class Job:
    """One recording, and the bag that its features go to."""

    bag: str
    output: str
    topics: tuple[str, ...]
    images: int  # of these topics
    model: str  # path
    values: dict[str, Any]  # parameters, see read_parameters
    descriptors_rate: float | None  # [Hz] by image stamps; None: every image
    request: dict[str, Any]  # what a later run compares
    threads: int | None = None  # of the CPU runtime

    def to_json(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Job:
        """Raise TypeError or ValueError if the bytes are no job."""
        return cls(**json.loads(data))


def place_outputs(bags: Sequence[Path], output: Path) -> list[Path]:
    """
    Where the features of each recording go: `output`, or of several a folder in it for each.

    Raises ValueError if two would go to one place, or one into a recording, links followed.
    """
    if len(bags) == 1:
        places = [output]
    else:
        if (output / 'metadata.yaml').exists():
            raise ValueError(f'{output} is a bag; of several recordings it is the folder of bags')
        places = [output / (bag.name if bag.is_dir() else bag.stem) for bag in bags]
    for place, times in Counter(places).items():
        if times > 1:
            same = ' and '.join(str(b) for b, p in zip(bags, places, strict=True) if p == place)
            raise ValueError(f'{same} would both become {place}: extract them one by one')
    for bag in bags:
        for place in places:
            ends = bag.resolve(), place.resolve()
            if ends[0] in (ends[1], *ends[1].parents) or ends[1] in ends[0].parents:
                raise ValueError(f'{place}: an output can neither be nor hold the recording {bag}')
    return places


def choose_topics(images: Images, wanted: Sequence[str] | None) -> tuple[str, ...]:
    """
    Image topics to take: those wanted, else the only one that has images.

    Raises ValueError, listing the topics, if that isn't clear.
    """
    counts = images.counts
    listed = ', '.join(f'{topic} ({counts[topic]})' for topic in sorted(counts)) or 'none'
    filled = [topic for topic in counts if counts[topic]]
    for topic in wanted or ():
        if not counts[topic]:
            raise ValueError(f'{images.path}: no images on {topic!r}; image topics: {listed}')
    if not wanted and len(filled) != 1:
        advice = '; choose by --topic, once for each camera' if filled else ''
        raise ValueError(f'{images.path}: image topics: {listed}{advice}')
    topics = tuple(dict.fromkeys(wanted or filled))
    taken = defaultdict(list)
    for topic in topics:
        taken[beside(topic, 'keypoints')].append(topic)
    for keypoints, sources in taken.items():
        if len(sources) > 1:
            raise ValueError(
                f'{images.path}: features of {" and ".join(sources)} would both go to {keypoints}'
            )
    return topics


def state_of(bag: Path) -> dict[str, int]:
    """Size of a recording's files, and when the last was written: what tells that it changed."""
    files = bag.iterdir() if bag.is_dir() else [bag]
    states = [file.stat() for file in files if file.is_file()]
    return {
        'bytes': sum(state.st_size for state in states),
        'modified_ns': max((state.st_mtime_ns for state in states), default=0),
    }
