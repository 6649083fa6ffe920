"""The format of report.json, and its validation: a report of a stranger is not trusted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from superpoint_rknn.board_report.model_points import MISTAKES
from superpoint_rknn.board_report.privacy import MAX_TEXT
from superpoint_rknn.board_report.times import ROWS
from superpoint_rknn.files import read_regular

SCHEMA = 1
MAX_BYTES = 1 << 20

Check = Callable[[Any, str], None]  # (value, its place); raises ValueError


def read_report(path: Path) -> dict[str, Any]:
    """Read a report. Raises OSError, or ValueError that names the first wrong field."""
    try:
        report = json.loads(read_regular(path, MAX_BYTES))
        validate(report)
    except (RecursionError, ValueError) as error:
        raise ValueError(f'{path}: not a board report: {error}') from error
    return report


def validate(report: Any) -> None:
    """Raise ValueError with the first wrong field unless `report` has the format SCHEMA."""
    if not isinstance(report, dict) or report.get('schema') != SCHEMA:
        version = report.get('schema') if isinstance(report, dict) else None
        raise ValueError(f'schema: {version!r:.40}, expected {SCHEMA}; update superpoint_rknn')
    REPORT(report, 'report')


def _fail(where: str, value: Any, expected: str) -> None:
    raise ValueError(f'{where}: {value!r:.60}, expected {expected}')


def _text(limit: int = MAX_TEXT) -> Check:
    def check(value: Any, where: str) -> None:
        if not isinstance(value, str) or len(value) > limit or not value.isprintable():
            _fail(where, value, f'one line of at most {limit} characters')

    return check


def _choice(*choices: Any) -> Check:
    def check(value: Any, where: str) -> None:
        if not any(type(value) is type(choice) and value == choice for choice in choices):
            _fail(where, value, f'one of {", ".join(map(str, choices))}')

    return check


def _number(low: float = -1e9, high: float = 1e9) -> Check:
    def check(value: Any, where: str) -> None:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number or not low <= value <= high:  # also refuses NaN
            _fail(where, value, f'a number from {low:g} to {high:g}')

    return check


def _integer(low: int = 0, high: int = 10**9) -> Check:
    def check(value: Any, where: str) -> None:
        if type(value) is not int or not low <= value <= high:
            _fail(where, value, f'an integer from {low} to {high}')

    return check


def _flag(value: Any, where: str) -> None:
    if not isinstance(value, bool):
        _fail(where, value, 'true or false')


def _optional(check: Check) -> Check:
    def check_optional(value: Any, where: str) -> None:
        if value is not None:
            check(value, where)

    return check_optional


def _list(check: Check, low: int, high: int) -> Check:
    def check_list(value: Any, where: str) -> None:
        if not isinstance(value, list) or not low <= len(value) <= high:
            _fail(where, value, f'a list of {low} to {high} values')
        for index, item in enumerate(value):
            check(item, f'{where}[{index}]')

    return check_list


def _record(**fields: Check) -> Check:
    def check_record(value: Any, where: str) -> None:
        if not isinstance(value, dict) or set(value) != set(fields):
            keys = sorted(map(str, value)) if isinstance(value, dict) else value
            _fail(where, keys, f'an object with exactly {", ".join(fields)}')
        for name, check in fields.items():
            check(value[name], f'{where}.{name}')

    return check_record


SHARE = _optional(_number(0, 1))
SIZE = _integer(0, 1 << 30)
DTYPE = _choice('int8', 'uint8', 'int16', 'float16', 'float32')
ERROR = _record(stage=_text(), text=_text(), code=_optional(_integer(-1000, 0)))
CARD_TENSOR = _record(
    dtype=DTYPE, scale=_optional(_number(0)), zero_point=_optional(_integer(-128, 255))
)
STATE = _record(
    cpu_mhz=_optional(_number()),
    cpu_max_mhz=_optional(_number()),
    cpu_governor=_optional(_text()),
    npu_mhz=_optional(_number()),
    npu_max_mhz=_optional(_number()),
    npu_governor=_optional(_text()),
    temperature_c=_optional(_number()),
    memory_mb=_optional(_number(0)),
    memory_available_mb=_optional(_number(0)),
)
TIMES = _list(
    _record(
        name=_choice(*ROWS),
        median_ms=_optional(_number(0)),
        p95_ms=_optional(_number(0)),
        calls=_integer(),
        reason=_optional(_text()),
    ),
    0,
    len(ROWS),
)
TENSOR = _record(
    name=_text(),
    shape=_list(_integer(1, 1 << 20), 4, 4),
    dtype=DTYPE,
    scale=_optional(_number(0)),
    zero_point=_optional(_integer(-128, 255)),
)
RUNTIME = _record(
    engine=_text(),
    pass_through=_optional(_flag),
    input_table=_text(),
    tensors=_list(TENSOR, 3, 3),
)
OUTPUT = _record(
    name=_text(),
    index=_choice(0, 1),
    layout=_choice('NCHW', 'NHWC'),
    asked_bytes=SIZE,
    reported_bytes=SIZE,
    wrote_beyond=_flag,
)
IMAGE = _record(
    name=_text(),
    finite=_flag,
    logits_max_difference=_optional(_number(0)),
    logits_correlation=_optional(_number(-1.001, 1.001)),
    cosine=_optional(_number(-1.001, 1.001)),
    identical=_flag,
    equal_bytes=SHARE,
    within_one=SHARE,
    max_byte_difference=_optional(_integer(0, 511)),
    zero_point_shift=_optional(_integer(-511, 511)),
    keypoints=_integer(0, 10000),
    golden_keypoints=_integer(0, 10000),
    keypoints_within_1px=SHARE,
    mistakes=_list(_choice(*MISTAKES), 0, len(MISTAKES)),
)
MODEL = _record(
    file=_text(),
    sha256=_optional(_text()),
    target=_optional(_text()),
    toolkit=_optional(_text()),
    network=_optional(_choice('superpoint', 'superpoint_small')),
    card=_optional(_record(input=CARD_TENSOR, descriptors=CARD_TENSOR)),
    generation=_optional(_choice(1, 2)),
    library=_optional(_text()),
    driver=_optional(_text()),
    error=_optional(ERROR),
    library_error=_optional(ERROR),
    load_s=_optional(_number(0)),
    runtime=_optional(RUNTIME),
    outputs=_list(OUTPUT, 0, 2),
    ramp=_optional(
        _record(
            equal_logits=_number(0, 1),
            equal_descriptors=_number(0, 1),
            explained_by=_optional(_choice('identity', 'sign_flip')),
        )
    ),
    faults=_list(_text(), 0, 4),
    images=_list(IMAGE, 0, 4),
    times=TIMES,
    state=_optional(STATE),
)
LIBRARY = _record(
    file=_text(),
    generation=_optional(_choice(1, 2)),
    version=_optional(_text()),
    reason=_optional(_text()),
)
REPORT = _record(
    schema=_choice(SCHEMA),
    date=_text(10),
    system=_record(
        superpoint_rknn=_text(),
        machine=_text(),
        python=_text(),
        numpy=_text(),
        opencv=_text(),
        kernel=_text(),
        ros=_flag,
        native=_flag,
    ),
    board=_record(
        model=_optional(_text()),
        soc=_optional(_text()),
        npu_driver=_optional(_text()),
        libraries=_list(LIBRARY, 0, 32),
        rknnlite=_flag,
    ),
    advice=_list(_text(), 0, 32),
    blocked=_optional(_text()),
    state=STATE,
    models=_list(MODEL, 0, 4),
    host_times=TIMES,
)
