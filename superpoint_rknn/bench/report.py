"""The report of a bench as a table and as a chart."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from superpoint_rknn.dependencies import check_matplotlib
from superpoint_rknn.files import check_output

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def table(report: dict[str, Any]) -> str:
    """Text with a line for each step, then for each rate of the nodes."""
    lines = [
        _machine(report['machine']),
        f'{"":28}{"median":>10}{"p95":>10}{"baseline":>10}{"ratio":>8}  [ms]',
    ]
    for row in report['rows']:
        lines.append(
            f'{row["name"]:28}{row["median_ms"]:10.4f}{row["p95_ms"]:10.4f}'
            f'{row["baseline_median_ms"]:10.4f}{row["ratio"]:8.2f}'
        )
    for figures in report.get('node', ()):
        latency, overhead = figures['latency_ms'], figures['frame_overhead_ms']
        lines.append(
            f'node at {figures["rate_hz"]:g} Hz, '
            f'descriptors at most {figures["descriptors_rate"]:g} Hz: '
            f'{figures["dropped"]} of {figures["published"]} images dropped, '
            f'{figures["cpu_ms_per_image"]:.2f} ms of CPU per image, '
            f'{overhead["p50"]:.2f} ms from callback to keypoints, latency '
            f'{latency["p50"]:.2f}/{latency["p95"]:.2f}/{latency["p99"]:.2f} ms (p50/p95/p99)'
        )
    for figures in report.get('tracker', ()):
        latency = figures['latency_ms']
        lines.append(
            f'node and tracker at {figures["rate_hz"]:g} Hz: '
            f'{figures["lost"]} of {figures["published"]} images without tracks, latency '
            f'{latency["p50"]:.2f}/{latency["p95"]:.2f}/{latency["p99"]:.2f} ms (p50/p95/p99)'
        )
    if 'start' in report:
        start = report['start']
        lines.append(
            f'start of the node: {start["seconds"]:.2f} s to the first keypoints, '
            f'{start["cpu_seconds"]:.2f} s of CPU; it holds {start["resident_mb"]:.0f} MB'
        )
    if 'first_drop_hz' in report:
        first = report['first_drop_hz']
        lines.append(
            f'highest rate without a drop: {report["no_drop_hz"]:g} Hz; first rate with a drop: '
            + (f'{first:g} Hz' if first else 'above the rate that the bench can publish')
        )
    return '\n'.join(lines)


def _machine(machine: dict[str, Any]) -> str:
    load = f'{machine["load"][0]:.1f} to {machine["load"][1]:.1f}'
    return (
        f'{machine["cpu"]}, {machine["cores"]} cores, Python {machine["python"]}, NumPy '
        f'{machine["numpy"]}, OpenCV {machine["opencv"]}; load average {load}'
        + ('' if machine['keeps_freed_memory'] else '; large arrays may cause page faults')
    )


def check_plot(path: Path) -> None:
    """Raise RuntimeError, ValueError or OSError if a chart can't be written later."""
    check_matplotlib()
    from matplotlib.figure import Figure

    kinds = Figure().canvas.get_supported_filetypes()
    if path.suffix.removeprefix('.') not in kinds:
        raise ValueError(f'{path}: expected a name that ends in one of .{", .".join(kinds)}')
    check_output(path, path.suffix)


def bar_chart(rows: list[dict[str, Any]]) -> Figure:
    """Chart of the medians of all steps and their baselines, on a logarithmic axis."""
    from matplotlib.figure import Figure  # not at the top: boards have no matplotlib

    figure = Figure(figsize=(9, 1 + 0.32 * len(rows)), layout='constrained')
    axes = figure.add_subplot()
    positions = [float(index) for index in range(len(rows))]
    for offset, key, label, colour in (
        (-0.2, 'median_ms', 'ours', 'tab:blue'),
        (0.2, 'baseline_median_ms', 'straightforward', 'tab:gray'),
    ):
        heights = [position + offset for position in positions]
        axes.barh(heights, [row[key] for row in rows], 0.4, label=label, color=colour)
    for position, row in zip(positions, rows, strict=True):
        longest = max(row['median_ms'], row['baseline_median_ms'])
        axes.text(1.1 * longest, position, f'x {row["ratio"]:.1f}', va='center')
    axes.set_yticks(positions, [row['name'] for row in rows])
    axes.invert_yaxis()
    axes.set_xscale('log')
    axes.margins(x=0.1, y=0.01)
    axes.set_xlabel('median [ms], and ratio of straightforward to ours')
    axes.grid(axis='x', alpha=0.3)
    axes.set_axisbelow(True)
    figure.legend(loc='outside upper center', ncols=2)
    return figure
