"""Checks that stations and their motions are clear of the world, of each other, and of targets."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np

from cooperative_isac.scene.file.errors import Problem
from cooperative_isac.scene.file.world_physics import way_fault
from cooperative_isac.scene.model import Scene, Target
from cooperative_isac.scene.motion.motion import Motion, cycle_s
from cooperative_isac.scene.station import Station
from cooperative_isac.scene.world import World

# Least distance of a target from a station, m: nearer ones are in its near field, or in its place.
LEAST_CLEARANCE_M = 1.0
# Duration over which motions of stations and targets are compared, s.
LOOK_S = 600.0
# Steps in which they are compared, s; between them they count as straight: at 3 m/s^2 that is wrong
# by 0.1 m.
STEP_S = 0.5


def check_stations(scene: Scene) -> list[Problem]:
    """Faults of the stations of a scene that has bands and stations.

    Stations whose poses come from odometry or /tf are checked where they start.
    """
    worlds = [band.world for band in scene.bands if band.world is not None]
    problems = []
    for index, station in enumerate(scene.stations):
        if station.motion is not None and worlds:
            problems.extend(_in_world(worlds[0], station.motion, f"stations[{index}].motion"))
    ways = [way_of_station(station) for station in scene.stations]
    return [*problems, *_apart(scene, ways), *_clear_of_targets(scene, ways)]


def own_speed_mps(station: Station) -> float:
    """Largest speed of a station along its motion, m/s; 0 for one without a motion."""
    if station.motion is None:
        return 0.0
    motion = station.motion
    return max(float(np.linalg.norm(motion.state(time)[1])) for time in _lap_times(motion))


def _in_world(world: World, motion: Motion, key: str) -> Iterator[Problem]:
    """A station's motion stays above the ground and outside walls and boxes; the gravest fault."""
    times_s = _lap_times(motion)
    positions_m = np.array([motion.state(time_s)[0] for time_s in times_s])
    remedies = {
        "inside": "move the station's way or the box",
        "through": "move the station's way or what stands there",
    }
    fault = way_fault(world, positions_m, times_s, remedies)
    if fault is not None:
        yield Problem(key, fault)


def _apart(scene: Scene, ways: list[Way]) -> Iterator[Problem]:
    """No array of a moving station reaches into that of another station."""
    numbered = list(enumerate(zip(scene.stations, ways)))
    for (index, (station, way)), (other_index, (other, other_way)) in combinations(numbered, 2):
        if way.motion is None and other_way.motion is None:
            continue  # checked where they stand
        reach_m = _reach_m(station) + _reach_m(other)
        nearest = nearest_approach(way, other_way, reach_m)
        if nearest is None:
            continue

        # The fault is that of a station that moves.
        distance_m, time_s = nearest
        is_first = way.motion is not None
        place = index if is_first else other_index
        name = other.name if is_first else station.name
        yield Problem(
            f"stations[{place}].motion",
            f"comes within {distance_m:.3g} m of station '{name}' at {time_s:.1f} s; their arrays "
            f"need more than {reach_m:.3g} m between them",
        )


def _clear_of_targets(scene: Scene, ways: list[Way]) -> Iterator[Problem]:
    """Targets keep LEAST_CLEARANCE_M from all stations."""
    for index, target in enumerate(scene.targets):
        target_way = way_of_target(target)
        for station, way in zip(scene.stations, ways):
            nearest = nearest_approach(way, target_way, LEAST_CLEARANCE_M)
            if nearest is None:
                continue
            distance_m, time_s = nearest
            yield Problem(
                f"targets[{index}].motion",
                f"comes within {distance_m:.2f} m of station '{station.name}' at {time_s:.1f} s; "
                f"must stay {LEAST_CLEARANCE_M:g} m away: move its way or the station",
            )


@dataclass(frozen=True)
class Way:
    """Position of a station or a target over time.

    place: position [3], m, at a time, s
    motion: along which it moves; None: it is at rest
    ends: whether it is present during its motion only
    """

    place: Callable[[float], np.ndarray]
    motion: Motion | None
    ends: bool

    def places(self, times_s: np.ndarray) -> np.ndarray:
        """Positions at some times, [num_times, 3], float64, m.

        times_s: [num_times], float64, s
        """
        return np.array([self.place(float(time_s)) for time_s in times_s])

    @cached_property
    def lap_times_s(self) -> np.ndarray:
        """Times over all of its motion, or a lap of it, [num_times], float64, s."""
        return np.zeros(2) if self.motion is None else _lap_times(self.motion)

    @cached_property
    def lap_m(self) -> np.ndarray:
        """Positions at these times, [num_times, 3], float64, m."""
        return self.places(self.lap_times_s)

    @cached_property
    def slack_m(self) -> float:
        """Its longest step, by which it may leave the box of these positions between them, m."""
        return float(np.linalg.norm(np.diff(self.lap_m, axis=0), axis=1).max())


def way_of_station(station: Station) -> Way:
    """The way of a station, which is at rest before and after its motion."""
    return Way(lambda time_s: station.pose_at(time_s).position_m, station.motion, False)


def way_of_target(target: Target) -> Way:
    """The way of a live target."""
    return Way(lambda time_s: target.motion.state(time_s)[0], target.motion, True)


def nearest_approach(way: Way, other: Way, reach_m: float) -> tuple[float, float] | None:
    """Nearest approach of two ways, if within a distance.

    Returns the distance, m, and its time, s; None if they stay farther apart than reach_m.
    """
    # Ways in boxes that are far apart need no comparison over time.
    first_m = way.lap_m
    second_m = other.lap_m
    gaps_m = np.maximum(
        first_m.min(axis=0) - second_m.max(axis=0), second_m.min(axis=0) - first_m.max(axis=0)
    )
    if np.linalg.norm(np.maximum(gaps_m, 0)) > reach_m + way.slack_m + other.slack_m:
        return None

    # Relative position, straight from step to step.
    times_s = _common_times(way, other)
    relative_m = other.places(times_s) - way.places(times_s)
    begins_m = relative_m[:-1]
    steps_m = np.diff(relative_m, axis=0)

    # Nearest point of each step to the origin, as a share of the step.
    squares_m2 = np.sum(steps_m**2, axis=1)
    shares = -np.sum(begins_m * steps_m, axis=1) / np.where(squares_m2 > 0, squares_m2, 1.0)
    shares = np.clip(shares, 0.0, 1.0)
    distances_m = np.linalg.norm(begins_m + shares[:, None] * steps_m, axis=1)

    # The nearest of all steps.
    place = int(np.argmin(distances_m))
    if distances_m[place] > reach_m:
        return None
    time_s = times_s[place] + shares[place] * (times_s[place + 1] - times_s[place])
    return float(distances_m[place]), float(time_s)


def _common_times(way: Way, other: Way) -> np.ndarray:
    """Times at which two ways are compared, [num_times], float64, s."""
    # Beside one at rest, those of the other.
    if way.motion is None:
        return other.lap_times_s
    if other.motion is None:
        return way.lap_times_s

    # While both are present.
    begin_s = 0.0
    end_s = LOOK_S
    for one in (way, other):
        if one.ends and one.motion is not None:
            begin_s = max(begin_s, one.motion.start_s)
            end_s = min(end_s, one.motion.start_s + one.motion.duration_s)
    end_s = max(begin_s, end_s)
    return np.linspace(begin_s, end_s, 2 + math.ceil((end_s - begin_s) / STEP_S))


def _lap_times(motion: Motion) -> np.ndarray:
    """Times over all of a motion, or a lap of it, [num_times], float64, s."""
    duration_s = min(cycle_s(motion), motion.duration_s, LOOK_S)
    times_s = motion.start_s + np.linspace(0, duration_s, 2 + math.ceil(duration_s / STEP_S))
    return np.minimum(times_s, motion.start_s + motion.duration_s)


def _reach_m(station: Station) -> float:
    """Distance from a station's position to the farthest element of its arrays, m."""
    return max(
        float(np.linalg.norm(antenna.elements_m, axis=1).max()) for antenna in station.antennas
    )
