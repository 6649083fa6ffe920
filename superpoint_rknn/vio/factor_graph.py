"""Minimise the error of a factor graph, and marginalise some of its variables."""

from __future__ import annotations

import gtsam

# [m]; a landmark of which one ray is left has no depth: the weakest prior is added with which it
# can be eliminated.
LANDMARK_SIGMAS = (10.0, 1.0, 0.1)


def minimise(
    graph: gtsam.NonlinearFactorGraph, start: gtsam.Values, iterations: int, tolerance: float
) -> gtsam.Values:
    """
    Minimise the error of a graph by Gauss-Newton; by Levenberg-Marquardt if that does not help.

    The scale of a first solution is often too small. Gauss-Newton corrects it in a few iterations,
    Levenberg-Marquardt, whose steps are short along such a valley, in a hundred.
    Raises RuntimeError if the variables are not determined.
    """
    newton = gtsam.GaussNewtonOptimizer(graph, start, gtsam.GaussNewtonParams())
    first = error = newton.error()
    try:
        for _ in range(iterations):
            newton.iterate()  # optimize() would stop where the error rises for a step
            before, error = error, newton.error()
            if abs(before - error) <= tolerance * before:
                break
        if error <= first:
            return newton.values()
    except RuntimeError:  # not determined, at a step too far
        pass
    marquardt = gtsam.LevenbergMarquardtParams()
    marquardt.setMaxIterations(iterations)
    marquardt.setRelativeErrorTol(tolerance)
    return gtsam.LevenbergMarquardtOptimizer(graph, start, marquardt).optimize()


def marginalise(
    factors: gtsam.NonlinearFactorGraph,
    values: gtsam.Values,
    leaving: list[int],
    leaving_landmarks: list[int],
) -> gtsam.NonlinearFactorGraph:
    """
    Return linear factors on the remaining variables that are worth `factors`.

    The leaving variables are eliminated (F. Dellaert, M. Kaess, Factor Graphs for Robot
    Perception, 2017): the remaining ones keep all information, but the linearisation is fixed.

    factors: all factors that have a leaving variable. values: where to linearise.
    leaving: keys of variables other than landmarks.
    Raises RuntimeError if the variables are not determined.
    """
    remainder = _eliminate(factors, values, leaving, leaving_landmarks)
    prior = gtsam.NonlinearFactorGraph()
    for index in range(remainder.size()):
        factor = remainder.at(index)
        if factor is not None:
            prior.push_back(gtsam.LinearContainerFactor(factor, values))
    return prior


def _eliminate(
    factors: gtsam.NonlinearFactorGraph,
    values: gtsam.Values,
    leaving: list[int],
    landmarks: list[int],
) -> gtsam.GaussianFactorGraph:
    for sigma in LANDMARK_SIGMAS:
        held = gtsam.NonlinearFactorGraph(factors)
        noise = gtsam.noiseModel.Isotropic.Sigma(3, sigma)
        for key in landmarks:
            held.addPriorPoint3(key, values.atPoint3(key), noise)
        try:
            return held.linearize(values).eliminatePartialMultifrontal([*leaving, *landmarks])[1]
        except RuntimeError as error:
            problem = error
    raise problem
