"""How near the detections of a simulated run are to the Cramer-Rao bound of their own frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

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
    """CRLB of the targets in one simulated frame of all bands on the air and all links, with the
    fading that pipeline.receive draws for it.
    """
    posed = scene.posed(frame.poses)
    known = {}
    paths = {}
    for band, signal in frame.signals.items():
        view = posed.on(band)
        known[band] = KnownSymbols(view).of_frame(signal)
        paths[band] = true_paths(view, frame.number, targets, frame.time_s)
    return network_crlb(scene, replace(frame, signals=known), targets, paths)


def true_paths(
    scene: Scene, number: int, targets: Sequence[TargetState], time_s: float | None = None
) -> dict[str, PathSet]:
    """The paths to each receiver, by its name, that pipeline.hear draws for frame `number`."""
    return {
        site.name: paths_to(scene, number, site, targets, time_s)[0] for site in scene.receivers
    }


class BoundLog:
    """Errors of detected targets and the bounds of the same draws, over a run."""

    def __init__(self, dimension: int):
        self._dimension = dimension
        self._total, self._samples = np.zeros((2, 2)), 0

    def add(
        self, bound: Bound, truths: Sequence[TargetState], detections: Sequence[Detection]
    ) -> tuple[float, float]:
        """Take in one frame; its rms error over root CRLB of location and velocity, 0 without
        detections.

        A target whose location has no finite bound is left out; its velocity alone, where that
        has none. Partial detections may be of no target, and are left out.
        """
        detections = complete(detections)
        where = [
            np.array([item.position_m for item in items]).reshape(-1, 3)[:, : self._dimension]
            for items in (truths, detections)
        ]
        pairs = match_within(pairwise_distances(*where), DETECTION_CUTOFF_M)
        squares = [
            _squares(
                detections[d],
                truths[t],
                bound.location_m[t],
                bound.velocity_mps[t],
                self._dimension,
            )
            for t, d in pairs
        ]
        squares = [item for item in map(_bounded, squares) if item[1, 0] > 0]
        frame = np.sum(squares, axis=0) if squares else np.zeros((2, 2))
        self._total, self._samples = self._total + frame, self._samples + len(squares)
        return _ratios(frame)

    def state(self) -> dict:
        """All of it, as JSON can hold it."""
        return {"total": self._total.tolist(), "samples": self._samples}

    def restore(self, state: dict) -> None:
        """Go on from a state."""
        self._total = np.array(state["total"], float).reshape(2, 2)
        self._samples = int(state["samples"])

    def summary(self) -> dict[str, float | int | None]:
        """Ratios over all frames so far, None without detections."""
        location, velocity = _ratios(self._total)
        return {
            "error_to_bound_location": location or None,
            "error_to_bound_velocity": velocity or None,
            "error_to_bound_samples": self._samples,
        }


def _squares(
    detection: Detection, truth: TargetState, location_m: float, velocity_mps: float, size: int
) -> np.ndarray:
    """Squared errors, then squared bounds, of location and velocity: [2, 2]."""
    errors = [
        np.sum((detection.position_m - truth.position_m)[:size] ** 2),
        np.sum((detection.velocity_mps - truth.velocity_mps)[:size] ** 2),
    ]
    return np.array([errors, [location_m**2, velocity_mps**2]])


def _bounded(squares: np.ndarray) -> np.ndarray:
    """Squared errors and bounds, [2, 2]; zeros for a quantity without a finite bound above zero."""
    return np.where(np.isfinite(squares).all(axis=0) & (squares[1] > 0), squares, 0.0)


def _ratios(squares: np.ndarray) -> tuple[float, float]:
    """Root of summed squared errors over summed squared bounds, of location and velocity; 0
    without.
    """
    errors, bounds = squares
    location, velocity = np.sqrt(np.divide(errors, bounds, out=np.zeros(2), where=bounds > 0))
    return float(location), float(velocity)
