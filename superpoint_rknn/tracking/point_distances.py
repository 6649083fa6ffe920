"""Points by their distance from each other."""

from __future__ import annotations

import numpy as np

MOST_CANDIDATES = 1000  # new points looked at in one image: their distances fill a square table


def squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(N, M) float32 of points a, (N, 2), and b, (M, 2), both float32."""
    (ax, ay), (bx, by) = np.ascontiguousarray(a.T), np.ascontiguousarray(b.T)
    table = np.subtract.outer(ax, bx)
    np.square(table, out=table)
    dy = np.subtract.outer(ay, by)
    return np.add(table, np.square(dy, out=dy), out=table)


def nearest(points: np.ndarray, others: np.ndarray, radius: float) -> np.ndarray:
    """
    For each point the index of the other that lies nearest, (N,) intp; -1 if none is in reach.

    points: (N, 2), others: (M, 2), both float32 [px]. radius: [px]. An other serves one point
    only, the nearest to it.
    """
    if not len(points) or not len(others):
        return np.full(len(points), -1, np.intp)
    table = squared_distances(points, others)
    best = table.argmin(axis=1)
    mutual = table.argmin(axis=0)[best] == np.arange(len(points))
    in_reach = table[np.arange(len(points)), best] <= radius**2
    return np.where(mutual & in_reach, best, -1)


def away(points: np.ndarray, others: np.ndarray, distance: float) -> np.ndarray:
    """Which points, (N, 2), lie at least `distance` [px] from all others, (M, 2); (N,) bool."""
    if not len(points) or not len(others):
        return np.ones(len(points), bool)
    return squared_distances(points, others).min(axis=1) >= distance**2


def apart(points: np.ndarray, distance: float) -> np.ndarray:
    """
    Which points to keep so that none are nearer than `distance` [px], (N,) bool.

    points: (N, 2) float32, those that matter most first: each is kept unless one kept before it
    is nearer.
    """
    near = np.tril(squared_distances(points, points) < distance**2, -1)
    later, earlier = np.nonzero(near)
    kept = np.ones(len(points), bool)
    decided = np.ones(len(points), bool)
    decided[later] = False
    # One round decides every point whose earlier neighbours are all decided.
    while not decided.all():
        kept[later[decided[earlier] & kept[earlier] & ~decided[later]]] = False
        waiting = np.zeros(len(points), bool)
        waiting[later[~decided[earlier] & kept[later]]] = True
        decided |= ~waiting
    return kept


def emptiest_first(
    taken: np.ndarray, candidates: np.ndarray, grid: tuple[int, int], size: tuple[int, int]
) -> np.ndarray:
    """
    Order in which candidates fill an image evenly, (M,) indices.

    The first come where a cell of the grid has the fewest points: taken ones, and candidates
    before it in the order given, which also decides among equals.

    taken: (N, 2), candidates: (M, 2), both float32 [px]. grid: rows, columns.
    size: height, width of the image [px].
    """
    cells = grid[0] * grid[1]
    occupied = np.bincount(_cell(taken, grid, size), minlength=cells)
    cell = _cell(candidates, grid, size)
    by_cell = np.argsort(cell, kind='stable')
    first = np.searchsorted(cell[by_cell], np.arange(cells))
    rank = np.empty(len(candidates), np.intp)
    rank[by_cell] = np.arange(len(candidates)) - first[cell[by_cell]]
    return np.argsort(occupied[cell] + rank, kind='stable')


def newcomers(
    taken: np.ndarray,
    candidates: np.ndarray,
    most: int,
    distance: float,
    grid: tuple[int, int],
    size: tuple[int, int],
) -> np.ndarray:
    """
    Candidates to take, at most `most`, in empty cells of the grid first; (K,) indices.

    None lies nearer than `distance` [px] to another. Arguments otherwise as in `emptiest_first`.
    """
    order = emptiest_first(taken, candidates, grid, size)[:MOST_CANDIDATES]
    return order[apart(candidates[order], distance)][:most]


def _cell(points: np.ndarray, grid: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """Index of the grid's cell in which each point lies."""
    (rows, cols), (height, width) = grid, size
    row = np.clip((points[:, 1] + 0.5) * rows / height, 0, rows - 1).astype(np.intp)
    col = np.clip((points[:, 0] + 0.5) * cols / width, 0, cols - 1).astype(np.intp)
    return row * cols + col
