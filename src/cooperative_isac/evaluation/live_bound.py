"""Cramer-Rao bound of simulated frames, and the ratio of a run's detection errors to it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cooperative_isac.bounds.crlb import Bound, network_crlb
from cooperative_isac.channel.paths import PathSet
from cooperative_isac.fusion.detection import Detection, complete
from cooperative_isac.metrics.assignment import match_within, pairwise_distances
from cooperative_isac.metrics.run_score import DETECTION_CUTOFF_M
from cooperative_isac.pipeline import paths_to
from cooperative_isac.scene.model import Scene, TargetState
from cooperative_isac.schemes.known_symbols import KnownSymbols
from cooperative_isac.waveform.frame import Frame


def network_bound(scene: Scene, frame: Frame, targets: Sequence[TargetState]) -> Bound:
    """CRLB of the targets in one simulated frame, over all its bands and links.

    The fading is the one that pipeline.receive draws for the frame.

    Source: CF eqs. (24) to (28)
    """
    posed = scene.posed(frame.poses)
    known = {}
    paths = {}
    for band, signal in frame.signals.items():
        view = posed.on(band)
        known[band] = KnownSymbols(view).of_frame(signal)
        paths[band] = true_paths(view, frame.number, targets, frame.time_s)
    return network_crlb(scene, frame, targets, paths, known)


def true_paths(
    scene: Scene, number: int, targets: Sequence[TargetState], time_s: float | None = None
) -> dict[str, PathSet]:
    """Propagation paths to each receiver, by its name, that pipeline.receive draws for a frame.

    number: number of the frame
    """
    return {
        site.name: paths_to(scene, number, site, targets, time_s)[0] for site in scene.receivers
    }


class BoundLog:
    """Errors of the detected targets of a run, and the bounds of the same frames."""

    def __init__(self, dimension: int):
        self._dimension = dimension
        # Sums over the run: squared errors and bounds (rows) of location and velocity (columns).
        self._squares = np.zeros((2, 2))
        self._num_samples = 0

    def add(
        self, bound: Bound, truths: Sequence[TargetState], detections: Sequence[Detection]
    ) -> tuple[float, float]:
        """Add one frame.

        A target without a finite location bound is left out. If only its velocity bound is not
        finite, its location counts. Partial detections are left out, as their target is ambiguous.

        Returns the ratio of r.m.s. error to root CRLB in this frame, of location and of velocity;
        0 if no target was detected.
        """
        # Assign detections to targets.
        size = self._dimension
        detections = complete(detections)
        truths_m = np.array([truth.position_m for truth in truths]).reshape(-1, 3)
        detections_m = np.array([item.position_m for item in detections]).reshape(-1, 3)
        distances_m = pairwise_distances(truths_m[:, :size], detections_m[:, :size])
        pairs = match_within(distances_m, DETECTION_CUTOFF_M)

        # Sum squared errors and bounds of the targets that have a bound.
        frame_squares = np.zeros((2, 2))
        for target, detection in pairs:
            squares = _squares(
                detections[detection],
                truths[target],
                bound.location_m[target],
                bound.velocity_mps[target],
                size,
            )
            squares = _bounded(squares)
            location_bound = squares[1, 0]
            if location_bound > 0:
                frame_squares += squares
                self._num_samples += 1
        self._squares = self._squares + frame_squares
        return _ratios(frame_squares)

    def state(self) -> dict:
        """Return the sums so far, in types that JSON can hold."""
        return {"total": self._squares.tolist(), "samples": self._num_samples}

    def restore(self, state: dict) -> None:
        """Continue from a state."""
        self._squares = np.array(state["total"], float).reshape(2, 2)
        self._num_samples = int(state["samples"])

    def summary(self) -> dict[str, float | int | None]:
        """Ratios of error to bound over all frames so far; None if no target was detected."""
        location, velocity = _ratios(self._squares)
        return {
            "error_to_bound_location": location or None,
            "error_to_bound_velocity": velocity or None,
            "error_to_bound_samples": self._num_samples,
        }


def _squares(
    detection: Detection, truth: TargetState, location_m: float, velocity_mps: float, size: int
) -> np.ndarray:
    """Squared errors (first row) and squared bounds of location and velocity, [2, 2]."""
    location_error_m = (detection.position_m - truth.position_m)[:size]
    velocity_error_mps = (detection.velocity_mps - truth.velocity_mps)[:size]
    squared_errors = [np.sum(location_error_m**2), np.sum(velocity_error_mps**2)]
    squared_bounds = [location_m**2, velocity_mps**2]
    return np.array([squared_errors, squared_bounds])


def _bounded(squares: np.ndarray) -> np.ndarray:
    """Squares [2, 2] with zeros in the columns without a finite, positive bound."""
    has_bound = np.isfinite(squares).all(axis=0) & (squares[1] > 0)
    return np.where(has_bound, squares, 0.0)


def _ratios(squares: np.ndarray) -> tuple[float, float]:
    """Root of squared errors over squared bounds, of location and velocity; 0 without bounds."""
    errors, bounds = squares
    ratios = np.divide(errors, bounds, out=np.zeros(2), where=bounds > 0)
    location, velocity = np.sqrt(ratios)
    return float(location), float(velocity)
