"""The sliding window of keyframes: its variables, its factors, and their optimisation."""

from __future__ import annotations

import gtsam
import numpy as np
from gtsam.symbol_shorthand import B, L, V, X

from superpoint_rknn.vio.factor_graph import marginalise, minimise
from superpoint_rknn.vio.keyframes import Anchor, Keyframe, TrackedImage, parallax
from superpoint_rknn.vio.landmarks import Camera, camera_of, reprojection_errors, triangulate
from superpoint_rknn.vio.preintegration import ImuSamples
from superpoint_rknn.vio.settings import EstimatorSettings

CAUCHY = 1.0  # [standard deviations]; scale of the robust kernel
TOLERANCE = 1e-2  # relative decrease of the error below which the optimisation ends
MIN_VIEWS = 3  # of a new landmark


class Window:
    """
    Keyframes, landmarks, and the prior that represents all that has left.

    keyframes: at least one. anchor: of the first one.
    """

    def __init__(
        self,
        settings: EstimatorSettings,
        body_from_camera: gtsam.Pose3,
        keyframes: list[Keyframe],
        anchor: Anchor,
        points: dict[int, np.ndarray] | None = None,
    ):
        self.keyframes = keyframes
        self.points = points or {}  # track id -> position of the landmark in the world, (3,)
        self._settings = settings
        self._body_from_camera = body_from_camera
        self._prior = anchor.prior(keyframes[0])
        self._rejected: set[int] = set()  # tracks with outliers
        self._sigma = settings.track_noise / settings.focal
        self._noise = gtsam.noiseModel.Robust.Create(
            gtsam.noiseModel.mEstimator.Cauchy.Create(CAUCHY),
            gtsam.noiseModel.Isotropic.Sigma(2, self._sigma),
        )
        self._calibration = gtsam.Cal3_S2()

    @property
    def newest(self) -> Keyframe:
        """The keyframe of the newest image."""
        return self.keyframes[-1]

    def add(self, image: TrackedImage, imu: ImuSamples) -> None:
        """Add an image; it replaces the newest one if that has moved too little to stay."""
        settings, keyframes = self._settings, self.keyframes
        if len(keyframes) > 1:
            kept, newest = keyframes[-2:]
            has_moved = (
                parallax(kept.image, newest.image) * settings.focal >= settings.keyframe_parallax
            )
            if not has_moved and image.time - kept.image.time < settings.keyframe_interval:
                keyframes.pop()
        last = keyframes[-1]
        integrated = imu.integrate(last.image.time, image.time, last.bias)
        navigation = integrated.predict(last.navigation, last.bias)
        self._rejected.intersection_update(image.seen)
        for track in self._rejected:
            del image.seen[track]
        keyframes.append(Keyframe(image, navigation, last.bias, integrated))

    def update(self) -> None:
        """Add landmarks, optimise, reject outliers, and marginalise what is too old."""
        self._add_landmarks()
        self.optimise(self._settings.iterations, TOLERANCE)
        self.reject_outliers()
        self.shrink()

    def optimise(self, iterations: int, tolerance: float) -> None:
        """
        Optimise all variables.

        tolerance: relative decrease of the error below which the optimisation ends.
        Raises RuntimeError if the variables are not determined.
        """
        values = minimise(self._graph(), self._values(), iterations, tolerance)
        for keyframe in self.keyframes:
            number = keyframe.number
            keyframe.navigation = gtsam.NavState(
                values.atPose3(X(number)), values.atVector(V(number))
            )
            keyframe.bias = values.atConstantBias(B(number))
        for track in self.points:
            self.points[track] = values.atPoint3(L(track))

    def reject_outliers(self) -> None:
        """
        Remove observations that do not fit their landmark.

        A track with two of them, or whose last one is such, is never used again.
        """
        views, errors = self._errors()
        bad: dict[int, list[Keyframe]] = {}
        for index in np.flatnonzero(errors > self._settings.outlier_limit):
            track, keyframe = views[index]
            bad.setdefault(track, []).append(keyframe)
        for track, keyframes in bad.items():
            last = next(k for k in reversed(self.keyframes) if track in k.seen)
            for keyframe in keyframes:
                del keyframe.seen[track]
            if len(keyframes) >= 2 or keyframes[-1] is last:
                self._rejected.add(track)
                self._remove_observations(track)
        self._remove_unseen()

    def shrink(self) -> None:
        """Marginalise the oldest keyframes until the window has its size."""
        while len(self.keyframes) > self._settings.keyframes + 1:
            self._marginalise_oldest()

    def rms_error(self) -> float:
        """Root mean square of the reprojection errors, in standard deviations of `track_noise`."""
        _, errors = self._errors()
        return float(np.sqrt(np.mean(np.minimum(errors, 100) ** 2))) if len(errors) else np.inf

    def speed_sigma(self) -> float:
        """Largest standard deviation of the newest velocity [m/s]; infinite: not determined."""
        try:
            marginals = gtsam.Marginals(self._graph(), self._values())
            covariance = marginals.marginalCovariance(V(self.newest.number))
        except RuntimeError:
            return np.inf
        return float(np.sqrt(np.linalg.eigvalsh(covariance)[-1]))

    def _add_landmarks(self) -> None:
        """Triangulate new landmarks: longest tracks first, with a minimum distance."""
        settings, newest = self._settings, self.newest.seen
        known = [track for track in newest if track in self.points]
        wanted = settings.landmarks - len(known)
        views = {
            track: [keyframe for keyframe in self.keyframes if track in keyframe.seen]
            for track in newest
            if track not in self.points
        }
        cameras = self._cameras()
        taken: np.ndarray = np.array([newest[track] for track in known]).reshape(-1, 2)
        for track in sorted(views, key=lambda track: -len(views[track])):
            if wanted <= 0 or len(views[track]) < MIN_VIEWS:
                break
            distances = np.abs(taken - newest[track]).max(axis=1)
            if np.any(distances * settings.focal < settings.landmark_spacing):
                continue
            point = triangulate(
                [cameras[keyframe.number] for keyframe in views[track]],
                np.array([keyframe.seen[track] for keyframe in views[track]]),
                settings.landmark_angle,
                2 * settings.outlier_limit * self._sigma,
            )
            if point is not None:
                self.points[track] = point
                taken = np.vstack([taken, newest[track]])
                wanted -= 1

    def _graph(self) -> gtsam.NonlinearFactorGraph:
        graph = gtsam.NonlinearFactorGraph(self._prior)
        for first, second in zip(self.keyframes, self.keyframes[1:], strict=False):
            graph.push_back(self._imu_factor(first, second))
        for keyframe in self.keyframes:
            self._add_observations(graph, keyframe)
        return graph

    def _add_observations(self, graph: gtsam.NonlinearFactorGraph, keyframe: Keyframe) -> None:
        for track, direction in keyframe.seen.items():
            if track in self.points:
                if track not in keyframe.factors:
                    keyframe.factors[track] = gtsam.GenericProjectionFactorCal3_S2(
                        *(direction, self._noise, X(keyframe.number), L(track)),
                        *(self._calibration, False, False, self._body_from_camera),
                    )
                graph.push_back(keyframe.factors[track])

    @staticmethod
    def _imu_factor(first: Keyframe, second: Keyframe) -> gtsam.CombinedImuFactor:
        i, j = first.number, second.number
        return gtsam.CombinedImuFactor(X(i), V(i), X(j), V(j), B(i), B(j), second.imu)

    def _values(self) -> gtsam.Values:
        values = gtsam.Values()
        for keyframe in self.keyframes:
            values.insert(X(keyframe.number), keyframe.navigation.pose())
            values.insert(V(keyframe.number), keyframe.navigation.velocity())
            values.insert(B(keyframe.number), keyframe.bias)
        for track, point in self.points.items():
            values.insert(L(track), point)
        return values

    def _cameras(self) -> dict[int, Camera]:
        return {
            keyframe.number: camera_of(keyframe.navigation.pose(), self._body_from_camera)
            for keyframe in self.keyframes
        }

    def _errors(self) -> tuple[list[tuple[int, Keyframe]], np.ndarray]:
        """Tracks and keyframes of all observations, (M,), and errors [standard deviations]."""
        views = [
            (track, keyframe)
            for keyframe in self.keyframes
            for track in keyframe.seen
            if track in self.points
        ]
        if not views:
            return views, np.empty(0)
        cameras = self._cameras()
        errors = reprojection_errors(
            np.array([self.points[track] for track, _ in views]),
            [cameras[keyframe.number] for _, keyframe in views],
            np.array([keyframe.seen[track] for track, keyframe in views]),
        )
        return views, errors / self._sigma

    def _remove_observations(self, track: int) -> None:
        for keyframe in self.keyframes:
            keyframe.seen.pop(track, None)

    def _remove_unseen(self) -> None:
        """Remove landmarks that neither the prior nor two observations determine."""
        held = {key for i in range(self._prior.size()) for key in list(self._prior.at(i).keys())}
        for track in list(self.points):
            views = sum(track in keyframe.seen for keyframe in self.keyframes)
            if L(track) not in held and views < 2:
                del self.points[track]
                self._remove_observations(track)

    def _marginalise_oldest(self) -> None:
        """Replace the oldest keyframe, and landmarks that no other sees, by a prior."""
        oldest, *others = self.keyframes
        staying = {track for keyframe in others for track in keyframe.seen}
        gone = [track for track in self.points if track not in staying]
        leaving = [symbol(oldest.number) for symbol in (X, V, B)]
        leaving_landmarks = [L(track) for track in gone]
        touched, untouched = gtsam.NonlinearFactorGraph(), gtsam.NonlinearFactorGraph()
        for index in range(self._prior.size()):
            factor = self._prior.at(index)
            is_touched = not {*leaving, *leaving_landmarks}.isdisjoint(factor.keys())
            (touched if is_touched else untouched).push_back(factor)
        touched.push_back(self._imu_factor(oldest, others[0]))
        self._add_observations(touched, oldest)
        untouched.push_back(marginalise(touched, self._values(), leaving, leaving_landmarks))
        self._prior = untouched
        self.points = {track: point for track, point in self.points.items() if track in staying}
        self.keyframes = others
        self._remove_unseen()
