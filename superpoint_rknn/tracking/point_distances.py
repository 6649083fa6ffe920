"""Selection of points by distance: nearest neighbours, minimum distance, grid occupancy."""

from __future__ import annotations

import numpy as np

MAX_CANDIDATES = 1000  # per image, for new tracks: limits the number of pairs
ROUNDING = 0.01  # [px] of float32 coordinates


def near_pairs(
    a: np.ndarray, b: np.ndarray, distance: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """
    Return all pairs of a point of `a` and one of `b` that are at most `distance` [px] apart.

    a: (N, 2), b: (M, 2), both float32 [px].
    Returns the indices i, j and the squared distance of each pair, (K,) each; i ascends.
    """
    # A search in sorted x leaves few pairs: much less than a table of N x M distances.
    (ax, ay), (bx, by) = np.ascontiguousarray(a.T), np.ascontiguousarray(b.T)
    order = bx.argsort(kind='stable')
    bx, by = bx[order], by[order]
    reach = np.float32(distance + ROUNDING)
    first = bx.searchsorted(ax - reach)
    count = bx.searchsorted(ax + reach) - first
    i = np.arange(len(a)).repeat(count)
    k = np.arange(len(i)) + (first + count - count.cumsum()).repeat(count)
    dx, dy = ax[i] - bx[k], ay[i] - by[k]
    squared = dx * dx + dy * dy
    is_near = np.flatnonzero(squared <= distance**2)
    return i[is_near], order[k[is_near]], squared[is_near]


def mutual_nearest(points: np.ndarray, others: np.ndarray, radius: float) -> np.ndarray:
    """
    Return the index of the mutual nearest neighbour within a radius, (N,) intp; -1 if none.

    points: (N, 2), others: (M, 2), both float32 [px]. radius: [px].
    """
    i, j, squared = near_pairs(points, others, radius)
    # Of values assigned to the same index the last remains: the nearest, of equals the first.
    farthest_first = np.lexsort((j, i, squared))[::-1]
    i, j = i[farthest_first], j[farthest_first]
    nearest, nearest_point = np.full(len(points), -1), np.full(len(others), -1)
    nearest[i], nearest_point[j] = j, i
    rows = np.flatnonzero(nearest >= 0)
    nearest[rows[nearest_point[nearest[rows]] != rows]] = -1
    return nearest


def is_far_from(points: np.ndarray, others: np.ndarray, distance: float) -> np.ndarray:
    """Return True for points, (N, 2), at least `distance` [px] from all others, (M, 2)."""
    is_far = np.ones(len(points), bool)
    i, _, squared = near_pairs(points, others, distance)
    is_far[i[squared < distance**2]] = False
    return is_far


def greedy_min_distance(points: np.ndarray, distance: float) -> np.ndarray:
    """
    Select points greedily so that no two are nearer than `distance` [px], (N,) bool.

    points: (N, 2) float32, highest priority first: a point is kept unless an earlier kept point is
    nearer.
    """
    later, earlier, squared = near_pairs(points, points, distance)
    is_near = (squared < distance**2) & (earlier < later)
    later, earlier = later[is_near], earlier[is_near]
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
