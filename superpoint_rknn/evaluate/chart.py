"""Bar chart of an evaluation; needs matplotlib."""

from __future__ import annotations

import io

from superpoint_rknn.evaluate.report import COLUMNS

SHARES = ('rep3', 'mma3', 'h1', 'h3', 'h5')
COLOURS = ('#286eb4', '#6eb4e6', '#f09646', '#5aa05a', '#c85050', '#969696')


def chart(report: dict) -> bytes:
    """
    Draw the shares of all rows with their 95 % intervals; returns a PNG file.

    Needs what check_matplotlib checks.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.3, 4.1), layout='constrained')
    axes = figure.add_subplot()
    rows = report['rows']
    width = 0.86 / len(rows)
    for index, row in enumerate(rows):
        x = [group + width * (index - (len(rows) - 1) / 2) for group in range(len(SHARES))]
        heights = [row[metric] for metric in SHARES]
        colour = COLOURS[index % len(COLOURS)]
        axes.bar(x, heights, 0.9 * width, color=colour, label=row['name'])
        for position, metric in zip(x, SHARES, strict=True):
            if interval := row['intervals'][metric]:
                axes.plot([position, position], interval, color='black', linewidth=1)
    axes.set_xticks(range(len(SHARES)), [COLUMNS[metric] for metric in SHARES])
    axes.set_ylim(0, 1)
    axes.grid(axis='y', alpha=0.5)
    axes.set_axisbelow(True)
    axes.spines[['top', 'right']].set_visible(False)
    figure.legend(loc='outside upper center', ncols=len(rows), frameon=False, fontsize='small')
    file = io.BytesIO()
    figure.savefig(file, format='png', dpi=100, metadata={'Software': None})
    return file.getvalue()
