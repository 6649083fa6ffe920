"""The points of a model: loading, outputs, agreement with the golden outputs, input."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from superpoint_rknn.board_report.points import FAIL, PASS, SKIP, WARN, Point

# Both compare 8-bit networks that round differently: far from what a mistake gives.
MIN_COSINE = 0.98
MIN_KEYPOINTS = 0.9  # share within 1 px
MIN_CORRELATION = 0.95  # of the logits
SCALE_TOLERANCE = 1e-3  # relative
OTHER_DRIVER = (-10, -11, -12, -14)  # error codes: library, model and driver do not match

# Names of `agreement.mistakes`, and what they mean.
MISTAKES = {
    'logits_nhwc': 'the logits are NHWC in memory although their layout is stated as NCHW',
    'logits_transposed': 'rows and columns of the logits are swapped',
    'descriptors_nhwc': 'the descriptors are NHWC in memory although their layout is stated as '
    'NCHW',
    'descriptors_transposed': 'rows and columns of the descriptors are swapped',
    'descriptors_sign': 'the descriptors are uint8 where int8 was stated, or the reverse',
    'zero_point': 'the zero point of the descriptors is not the one that the library states',
}
INPUTS = {
    'identity': 'the unchanged bytes of the image give the outputs of the library',
    'sign_flip': "the image's bytes with the top bit flipped give the outputs of the library",
}


def model_points(model: dict[str, Any], report: dict[str, Any]) -> Iterator[Point]:
    """Yield the points of one model of a report."""
    error, soc = model['error'] or model['library_error'], report['board']['soc']
    if model['target'] and soc:
        yield _target_point(model['target'], soc)
    if model['toolkit'] and model['library']:
        yield _toolkit_point(model['toolkit'], model['library'])
    yield from _output_points(model)
    if error:
        meaning = 'The error says what to do.'
        if error['code'] in OTHER_DRIVER:
            meaning = 'The model was made for another driver or library: see the error.'
        yield Point('runs', FAIL, f'{error["stage"]}: {error["text"]}', meaning)
    elif model['runtime']:
        yield Point('runs', PASS, model['runtime']['engine'])
    if model['runtime']:
        yield _card_point(model)
        yield _raw_point(model)
    yield from _ramp_points(model)
    for fault in model['faults']:
        yield Point('plausible outputs', FAIL, fault, 'See the finding.')
    for image in model['images']:
        yield _golden_point(image)
    if model['runtime'] and not model['images'] and not error:
        yield Point(
            'golden outputs',
            SKIP,
            'none for this network and size',
            'Golden outputs exist for the shipped networks at 400x640.',
        )


def _target_point(target: str, soc: str) -> Point:
    same = {'rk3566': 'rk3568', 'rv1109': 'rv1126'}
    if same.get(soc, soc) == target:
        return Point('target', PASS, target)
    return Point('target', FAIL, f'made for {target}, the chip is {soc}', f'Convert it for {soc}.')


def _toolkit_point(toolkit: str, library: str) -> Point:
    found = f'written by toolkit {toolkit}, library {library}'
    numbers = [tuple(map(int, re.findall(r'\d+', text)[:2])) for text in (toolkit, library)]
    if numbers[0] > numbers[1]:
        return Point(
            'toolkit',
            WARN,
            found,
            'The library is older than the model: update the library and the driver, or convert '
            'with the toolkit of that version.',
        )
    return Point('toolkit', PASS, found)


def _output_points(model: dict[str, Any]) -> Iterator[Point]:
    outputs = model['outputs']
    for output in outputs:
        sizes = (
            f'{output["name"]}: {output["reported_bytes"]} bytes, asked {output["asked_bytes"]}'
        )
        if output['wrote_beyond']:
            yield Point(
                'raw outputs',
                FAIL,
                sizes,
                'The library wrote float where raw bytes were asked for: update the library.',
            )
        if output['layout'] != 'NCHW':
            yield Point(
                'layout',
                WARN,
                f'{output["name"]} is {output["layout"]}',
                'Correct, but each output is transposed on the CPU: convert with NCHW outputs.',
            )
    if [output['index'] for output in outputs] == [1, 0]:
        yield Point(
            'order of outputs',
            WARN,
            'the descriptors are output 0, the logits output 1: swapped',
            'Correct, since outputs are recognised by their shapes, but the logits cannot be '
            'fetched alone: convert the model with the outputs semi, desc.',
        )
    elif outputs:
        yield Point('order of outputs', PASS, 'logits, descriptors')


def _card_point(model: dict[str, Any]) -> Point:
    card = model['card']
    if card is None:
        return Point('model card', SKIP, 'none', 'Keep the model card beside the model.')
    tensors = model['runtime']['tensors']
    differing = []
    for name, tensor in (('input', tensors[0]), ('descriptors', tensors[2])):
        stated = card[name]
        if stated['dtype'] != tensor['dtype'] and model['runtime']['pass_through'] is not None:
            differing.append(f'{name}: {tensor["dtype"]}, the card states {stated["dtype"]}')
        elif tensor['zero_point'] is None:
            continue  # rknnlite states none
        elif stated['zero_point'] != tensor['zero_point']:
            differing.append(
                f'{name}: zero point {tensor["zero_point"]}, the card states '
                f'{stated["zero_point"]}'
            )
        elif stated['scale'] and abs(tensor['scale'] / stated['scale'] - 1) > SCALE_TOLERANCE:
            differing.append(
                f'{name}: scale {tensor["scale"]:g}, the card states {stated["scale"]:g}'
            )
    if differing:
        return Point(
            'model card',
            FAIL,
            '; '.join(differing),
            'The library states another quantization than the conversion wrote: the card is of '
            'another model, or the library reads the model wrongly.',
        )
    return Point('model card', PASS, 'types, scales and zero points are those of the card')


def _raw_point(model: dict[str, Any]) -> Point:
    descriptors = model['runtime']['tensors'][2]
    if descriptors['dtype'] in ('int8', 'uint8'):
        return Point('raw descriptors', PASS, descriptors['dtype'])
    return Point(
        'raw descriptors',
        FAIL,
        f'the descriptors are {descriptors["dtype"]}',
        'Not raw bytes: the model is not quantized, or rknnlite is used, which always converts.',
    )


def _ramp_points(model: dict[str, Any]) -> Iterator[Point]:
    ramp = model['ramp']
    if ramp is None:
        return
    equal = min(ramp['equal_logits'], ramp['equal_descriptors'])
    if equal == 1:
        yield Point('input', PASS, 'pass-through gives the same bytes as inputs_set without it')
        return
    explained = INPUTS.get(ramp['explained_by'] or '', 'neither x nor x ^ 0x80 explains it')
    yield Point(
        'input',
        FAIL,
        f'pass-through: {ramp["equal_logits"]:.2%} of the logits and '
        f'{ramp["equal_descriptors"]:.2%} of the descriptors have equal bytes; {explained}',
        'The input table is not what the library does: mean and std of the model card are not '
        'those of the conversion. Until then set input.pass_through to false.',
    )


def _golden_point(image: dict[str, Any]) -> Point:
    name = f'golden outputs, {image["name"]}'
    finding = (
        f'descriptors: {_share(image["equal_bytes"])} equal bytes, largest difference '
        f'{_value(image["max_byte_difference"])}, cosine {_value(image["cosine"])}; logits: '
        f'largest difference {_value(image["logits_max_difference"])}; '
        f'{_share(image["keypoints_within_1px"])} of the keypoints within 1 px'
    )
    good = (
        image['finite']
        and (image['cosine'] or 0) >= MIN_COSINE
        and (image['logits_correlation'] or 0) >= MIN_CORRELATION
        and (image['keypoints_within_1px'] or 0) >= MIN_KEYPOINTS
    )
    causes = [MISTAKES[mistake] for mistake in image['mistakes']]
    if good and not causes:
        return Point(name, PASS, finding)
    meaning = '; '.join(causes) or (
        'no known mistake with the layout explains it: see the point `input`, and run '
        'superpoint_rknn analyze --board on the folder of the raw outputs'
    )
    return Point(name, FAIL, finding, f'{meaning[0].upper()}{meaning[1:]}.')


def _share(value: float | None) -> str:
    return '-' if value is None else f'{value:.1%}'


def _value(value: float | None) -> str:
    return '-' if value is None else f'{value:.4g}'
