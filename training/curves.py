"""Plot of a run's losses."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from superpoint_rknn.files import write_atomically

COLUMNS = 3


def plot_curves(log: Path, picture: Path) -> None:
    """Plot each column of a log over its steps as a PNG; nothing for fewer than two rows."""
    with log.open(encoding='utf-8') as file:
        names, *rows = list(csv.reader(file)) or [[]]
    if len(rows) < 2:
        return
    values = np.array(rows, float)
    losses = [(name, values[:, i]) for i, name in enumerate(names) if i > 1]
    lines = -(-len(losses) // COLUMNS)
    figure = Figure(figsize=(4.2 * COLUMNS, 2.6 * lines), layout='constrained')
    for index, (name, loss) in enumerate(losses, 1):
        axes = figure.add_subplot(lines, COLUMNS, index, title=name, xlabel='steps')
        axes.plot(values[:, 0], loss, linewidth=1)
        axes.grid(alpha=0.5)
    content = io.BytesIO()
    figure.savefig(content, format='png', dpi=100)
    write_atomically(picture, content.getvalue())
