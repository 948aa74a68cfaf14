"""How near the detections of a simulated run are to the Cramer-Rao bound of their own frames."""

from __future__ import annotations

from typing import Sequence

import numpy as np

from cooperative_isac.bounds.crlb import Bound, crlb
from cooperative_isac.channel.paths import clutter_positions, draw_paths
from cooperative_isac.fusion.detection import Detection
from cooperative_isac.metrics.assignment import match_within, pairwise_distances
from cooperative_isac.metrics.consistency import error_to_bound
from cooperative_isac.metrics.run_score import DETECTION_CUTOFF_M
from cooperative_isac.scene.draw import frame_generator
from cooperative_isac.scene.model import Scene, TargetState
from cooperative_isac.waveform.frame import TransmitFrame


def frame_bound(scene: Scene, signal: TransmitFrame, targets: Sequence[TargetState]) -> Bound:
    """CRLB of the targets in one simulated frame, with the fading that pipeline.hear draws for it."""
    clutter = clutter_positions(scene, frame_generator(scene.seed, signal.number, "clutter"))
    paths = {site.name: draw_paths(scene, site, targets, clutter,
                                   frame_generator(scene.seed, signal.number, f"channel/{site.name}"))
             for site in scene.receivers}
    known = signal.reference if scene.sensing.symbols == "reference_only" else signal
    return crlb(scene, known, targets, paths)


class BoundLog:
    """Errors of detected targets and the bounds of the same draws, over a run."""

    def __init__(self, dimension: int):
        self._dimension = dimension
        self._rows: list[tuple[np.ndarray, float, float]] = []

    def add(self, bound: Bound, truths: Sequence[TargetState],
            detections: Sequence[Detection]) -> tuple[float, float]:
        """Take in one frame; its rms error over root CRLB of location and velocity, 0 without detections."""
        where = [np.array([item.position_m for item in items]).reshape(-1, 3)[:, :self._dimension]
                 for items in (truths, detections)]
        pairs = match_within(pairwise_distances(*where), DETECTION_CUTOFF_M)
        rows = [(_error(detections[d], truths[t], self._dimension), bound.location_m[t],
                 bound.velocity_mps[t]) for t, d in pairs]
        self._rows += rows
        return _ratios(rows, self._dimension)

    def summary(self) -> dict[str, float | int | None]:
        """Ratios over all frames so far, None without detections."""
        location, velocity = _ratios(self._rows, self._dimension)
        return {"error_to_bound_location": location or None, "error_to_bound_velocity": velocity or None,
                "error_to_bound_samples": len(self._rows)}


def _error(detection: Detection, truth: TargetState, size: int) -> np.ndarray:
    return np.concatenate([(detection.position_m - truth.position_m)[:size],
                           (detection.velocity_mps - truth.velocity_mps)[:size]])


def _ratios(rows, size: int) -> tuple[float, float]:
    if not rows:
        return 0.0, 0.0
    errors, locations, velocities = (np.array(column) for column in zip(*rows))
    return error_to_bound(errors[:, :size], locations), error_to_bound(errors[:, size:], velocities)
