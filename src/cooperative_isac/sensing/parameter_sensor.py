"""Angle, range and range rate of each target in the echo of one access point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import chdtri

from cooperative_isac.scene.model import Scene, Site
from cooperative_isac.sensing.correlation import stream_reference
from cooperative_isac.sensing.detector import Detector
from cooperative_isac.sensing.path_finder import FoundPath, PathFinder, PathSearch, cancel_paths
from cooperative_isac.sensing.path_parameters import (
    INTERPOLATED_CELLS,
    PathParameters,
    accuracy_of,
    beam_width,
    location_information,
    parameters_of,
)
from cooperative_isac.sensing.static_paths import StaticNuisance
from cooperative_isac.waveform.signal import Signal

# Power of a path over that of another in its resolution cell, from which on the other is what its
# imperfect removal left.
LEFTOVER = 30.0
# Of the gate within which two paths are of one target.
SAME_PROBABILITY = 0.9999
# Standard deviation of a location along a direction that a path does not measure, m.
UNSEEN_M = 1e3


@dataclass(frozen=True)
class ParameterSensor(Detector):
    """A receiver to which the frame is known, and its method of searching for paths."""

    method: type[PathSearch]

    def sense(
        self,
        echo: np.ndarray,
        frame: Signal,
        static: StaticNuisance | None = None,
        linked: Sequence[int] | None = None,
    ) -> tuple[PathParameters, ...]:
        """Targets in an echo, strongest first.

        The number of targets is not known: paths are canceled while they exceed the threshold of
        the scene's false-alarm probability. Of a target's paths from several transmitters the one
        that locates it best is kept.

        echo: [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W)
        static: the static paths that were taken out of the echo, if any
        linked: indices of the transmitters whose paths are used; the others' are canceled alone.
        None: all
        """
        most = self.scene.sensing.max_targets
        reference = stream_reference(frame, self.max_doppler_hz, static)
        finder = PathFinder(
            self.scene,
            self.receiver,
            reference,
            reference.correlate(echo),
            self.max_doppler_hz,
            self.detection_threshold(reference),
        )
        paths = cancel_paths(self.method(finder, self.search), most * len(self.scene.transmitters))
        if linked is not None:
            paths = [path for path in paths if path.transmitter in linked]
        chosen = one_path_per_target(self.scene, self.receiver, paths)[:most]
        return tuple(
            parameters_of(
                self.scene, self.receiver, path.transmitter, path.point_m, path.doppler_hz
            )
            for path in chosen
        )


def one_path_per_target(scene: Scene, receiver: Site, paths: list[FoundPath]) -> list[FoundPath]:
    """The path of each target that locates it best, strongest first.

    What a much stronger path left behind in its resolution cell is no path.
    """
    true = [
        path
        for path in paths
        if not any(_is_leftover(scene, receiver, path, other) for other in paths)
    ]
    covariances = [_covariance(scene, receiver, path) for path in true]
    kept: list[int] = []
    gate = chdtri(2, 1 - SAME_PROBABILITY)
    for index in sorted(range(len(true)), key=lambda index: np.trace(covariances[index])):
        aways = [(true[index].point_m - true[other].point_m)[:2] for other in kept]
        if all(
            away @ np.linalg.solve(covariances[index] + covariances[other], away) > gate
            for away, other in zip(aways, kept)
        ):
            kept.append(index)
    return sorted((true[index] for index in kept), key=lambda path: -path.power)


def _is_leftover(scene: Scene, receiver: Site, path: FoundPath, other: FoundPath) -> bool:
    """Whether a path is what an imperfectly removed, much stronger one left."""
    if path.power * LEFTOVER > other.power:
        return False
    vectors = path.point_m - receiver.position_m, other.point_m - receiver.position_m
    distances = [np.linalg.norm(vector) for vector in vectors]
    cosines = [vector @ receiver.axis / distance for vector, distance in zip(vectors, distances)]
    return bool(
        abs(cosines[0] - cosines[1]) < beam_width(receiver, scene.grid.wavelength_m)
        and abs(distances[0] - distances[1]) < scene.grid.range_resolution_m
    )


def _covariance(scene: Scene, receiver: Site, path: FoundPath) -> np.ndarray:
    """Covariance of the location of a path in the plane, [2, 2], m^2."""
    accuracy = accuracy_of(scene, receiver, INTERPOLATED_CELLS, INTERPOLATED_CELLS)
    information = location_information(scene, receiver, path.transmitter, path.point_m, accuracy)
    return np.linalg.inv(information + np.eye(2) / UNSEEN_M**2)
