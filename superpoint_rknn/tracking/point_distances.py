"""Selection of points by distance: nearest neighbours, minimum distance, grid occupancy."""

from __future__ import annotations

import numpy as np

MAX_CANDIDATES = 1000  # per image, for new tracks: limits the size of the distance matrix


def squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return squared distances, (N, M) float32, of a, (N, 2) float32, and b, (M, 2) float32."""
    (ax, ay), (bx, by) = np.ascontiguousarray(a.T), np.ascontiguousarray(b.T)
    table = np.subtract.outer(ax, bx)
    np.square(table, out=table)
    dy = np.subtract.outer(ay, by)
    return np.add(table, np.square(dy, out=dy), out=table)


def mutual_nearest(points: np.ndarray, others: np.ndarray, radius: float) -> np.ndarray:
    """
    Return the index of the mutual nearest neighbour within a radius, (N,) intp; -1 if none.

    points: (N, 2), others: (M, 2), both float32 [px]. radius: [px].
    """
    if not len(points) or not len(others):
        return np.full(len(points), -1, np.intp)
    table = squared_distances(points, others)
    best = table.argmin(axis=1)
    mutual = table.argmin(axis=0)[best] == np.arange(len(points))
    in_reach = table[np.arange(len(points)), best] <= radius**2
    return np.where(mutual & in_reach, best, -1)


def is_far_from(points: np.ndarray, others: np.ndarray, distance: float) -> np.ndarray:
    """Return True for points, (N, 2), at least `distance` [px] from all others, (M, 2)."""
    if not len(points) or not len(others):
        return np.ones(len(points), bool)
    return squared_distances(points, others).min(axis=1) >= distance**2


def greedy_min_distance(points: np.ndarray, distance: float) -> np.ndarray:
    """
    Select points greedily so that no two are nearer than `distance` [px], (N,) bool.

    points: (N, 2) float32, highest priority first: a point is kept unless an earlier kept point is
    nearer.
    """
    near = np.tril(squared_distances(points, points) < distance**2, -1)
    later, earlier = np.nonzero(near)
    kept = np.ones(len(points), bool)
    decided = np.ones(len(points), bool)
    decided[later] = False
    # Each round decides the points whose earlier neighbours are all decided.
    while not decided.all():
        kept[later[decided[earlier] & kept[earlier] & ~decided[later]]] = False
        undecided = np.zeros(len(points), bool)
        undecided[later[~decided[earlier] & kept[later]]] = True
        decided |= ~undecided
    return kept


def sort_by_occupancy(
    taken: np.ndarray, candidates: np.ndarray, grid: tuple[int, int], size: tuple[int, int]
) -> np.ndarray:
    """
    Sort candidates by the occupancy of their grid cell, least occupied first, (M,) indices.

    Occupancy: number of taken points and earlier candidates in the cell. Ties keep their order.

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


def select_new_tracks(
    taken: np.ndarray,
    candidates: np.ndarray,
    limit: int,
    distance: float,
    grid: tuple[int, int],
    size: tuple[int, int],
) -> np.ndarray:
    """
    Select at most `limit` candidates, from the least occupied grid cells first; (K,) indices.

    No two are nearer than `distance` [px]. Other arguments: see `sort_by_occupancy`.
    """
    order = sort_by_occupancy(taken, candidates, grid, size)[:MAX_CANDIDATES]
    return order[greedy_min_distance(candidates[order], distance)][:limit]


def _cell(points: np.ndarray, grid: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """Index of the grid cell of each point."""
    (rows, cols), (height, width) = grid, size
    row = np.clip((points[:, 1] + 0.5) * rows / height, 0, rows - 1).astype(np.intp)
    col = np.clip((points[:, 0] + 0.5) * cols / width, 0, cols - 1).astype(np.intp)
    return row * cols + col
