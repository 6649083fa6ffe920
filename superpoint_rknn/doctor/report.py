"""The report of `doctor` as text."""

from __future__ import annotations

from typing import Any


def machine_text(report: dict[str, Any]) -> str:
    """Text about the machine: one line per finding, after its label."""
    board = report['board']
    lines = [
        ('system', ', '.join(f'{k} {v}' for k, v in report['system'].items())),
        ('decode', report['decode_and_describe']),
        ('board', board['model'] or 'no device tree'),
        ('chip', board['soc'] or 'not Rockchip'),
        ('NPU driver', board['npu_driver'] or 'none'),
        ('rknnlite', 'installed' if board['rknnlite'] else 'not installed'),
    ]
    for probe in board['libraries']:
        usable = f'generation {probe["generation"]}, version {probe["version"] or "unknown"}'
        lines.append(('library', probe['reason'] or f'{probe["path"]}: {usable}'))
    return _text(lines)


def trial_text(report: dict[str, Any]) -> str:
    """Text about the runtime, the model, the inference and the advice."""
    runtime, inference = report['runtime'], report['inference']
    lines = []
    if runtime:
        lines.append(('runtime', runtime['engine']))
        lines.append(('model', f'{runtime["model"]} ({runtime["path"]})'))
        lines += [('tensor', _tensor_text(tensor)) for tensor in runtime['tensors']]
        lines.append(('input table', runtime['input_table']))
    if inference:
        stages = inference['stages_ms'].items()
        lines.append(('time [ms]', ', '.join(f'{stage} {ms:g}' for stage, ms in stages)))
        low, high = inference['descriptor_range']
        result = f'{inference["keypoints"]} keypoints; raw descriptors {low:g} to {high:g}'
        lines.append(('result', f'{result}; {inference["rss_mb"]} MB resident'))
    return _text(lines + [('advice', text) for text in report['advice']])


def _text(lines: list[tuple[str, str]]) -> str:
    return '\n'.join(f'{label:12} {text}' for label, text in lines)


def _tensor_text(tensor: dict[str, Any]) -> str:
    shape = 'x'.join(map(str, tensor['shape']))
    text = f'{tensor["name"]} {shape} {tensor["dtype"]}'
    if tensor['scale'] is None:
        return text
    return f'{text}, scale {tensor["scale"]:g}, zero point {tensor["zero_point"]}'
