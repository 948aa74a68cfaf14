"""Tracking with packet loss: GOSPA relative to no loss, identity switches, false tracks, NEES.

    python benchmarks/loss.py [--scenes campus cell_free_compact yard] [--frames 120] [--seeds 101]

Packets of consecutive frames are encoded once, then decoded and tracked under each pattern of loss.
The first ten frames are complete and not scored. Receivers lose packets independently of each
other, unless the pattern states otherwise. Patterns with fewer receivers are compared with the
Cramer-Rao bound of these receivers, for targets that are points.
"""

import argparse
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import combinations, product

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from cooperative_isac.evaluation.live_bound import network_bound
from cooperative_isac.evaluation.loss import (
    SETTLED_FRAMES,
    LossFigures,
    Recording,
    burst_loss,
    independent_loss,
    outage,
    record,
    replay,
)
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.scene.model import Scene

# Share of packets that random patterns lose, and number of draws of each random pattern.
LOSS_SHARE = 0.3
DRAWS = 8
# First frames of outages, and their lengths with one receiver left and without any, s.
OUTAGE_BEGINS = (40, 70)
ONE_LEFT_S = 2.0
ALL_LOST_S = 1.0
# Frames between two computed Cramer-Rao bounds, which change slowly.
BOUND_EVERY = 6
# Smallest number of frames: the last outage ends within it, at up to ten frames per second.
SHORTEST = 100


@dataclass(frozen=True)
class Pattern:
    """Packets that arrive in one run.

    arrived: [num_frames, num_receivers], bool
    first, last: frames whose GOSPA is compared with the run without loss, without the last one;
        None is the end of the run
    answering: indices of the receivers that send all packets, while the others send none; empty
        for patterns that change
    """

    name: str
    arrived: np.ndarray
    first: int = SETTLED_FRAMES
    last: int | None = None
    answering: tuple[int, ...] = ()


@dataclass(frozen=True)
class Row:
    """Results of one pattern, over all its draws.

    gospa_m: mean GOSPA, m
    ratio: GOSPA over that without loss, mean over the draws
    worst: the same, of the worst draw
    bound: Cramer-Rao bound of the location over that of all receivers; nan for patterns that change
    track_nees: mean NEES of the tracks
    """

    scene: str
    seed: int
    pattern: str
    gospa_m: float
    ratio: float
    worst: float
    bound: float
    track_nees: float
    continuity: float
    identity_switches: int
    false_tracks: int


def patterns(num_frames: int, num_receivers: int, rate_hz: float) -> Iterator[Pattern]:
    """Yield the patterns of loss of the table."""
    # Random losses.
    size = (num_frames, num_receivers)
    for draw in range(DRAWS):
        generator = np.random.default_rng((1, draw))
        yield Pattern("30 % independent", independent_loss(LOSS_SHARE, *size, generator))
    for burst in (5, 10):
        for draw in range(DRAWS):
            generator = np.random.default_rng((burst, draw))
            yield Pattern(
                f"30 %, bursts of {burst} frames", burst_loss(LOSS_SHARE, burst, *size, generator)
            )
    for draw in range(DRAWS):
        shared = burst_loss(LOSS_SHARE, 5, num_frames, 1, np.random.default_rng((2, draw)))
        yield Pattern("30 %, bursts of 5, all at once", np.repeat(shared, num_receivers, axis=1))

    # Outages, scored while they last.
    one_left = round(ONE_LEFT_S * rate_hz)
    all_lost = round(ALL_LOST_S * rate_hz)
    for begins in OUTAGE_BEGINS:
        for left in range(num_receivers):
            silent = [index for index in range(num_receivers) if index != left]
            arrived = outage(begins, one_left, silent, *size)
            name = f"one receiver left for {ONE_LEFT_S:g} s"
            yield Pattern(name, arrived, begins, begins + one_left)
        arrived = outage(begins, all_lost, range(num_receivers), *size)
        yield Pattern(f"no packet for {ALL_LOST_S:g} s", arrived, begins, begins + all_lost)

    # Fewer receivers during the whole run.
    for count in range(1, num_receivers):
        for answering in combinations(range(num_receivers), count):
            arrived = np.zeros(size, bool)
            arrived[:, answering] = True
            names = ", ".join(str(index + 1) for index in answering)
            yield Pattern(f"all but receiver {names}, throughout", arrived, answering=answering)


def bound_ratio(recording: Recording, answering: Sequence[int]) -> float:
    """Mean Cramer-Rao bound of the location with some receivers, over that with all receivers."""
    scene = recording.scene
    receivers = tuple(scene.receivers[index] for index in answering)
    with_some_m = _mean_bound_m(replace(scene, receivers=receivers), recording)
    with_all_m = _mean_bound_m(scene, recording)
    return with_some_m / with_all_m


def _mean_bound_m(scene: Scene, recording: Recording) -> float:
    """Mean root CRLB of the location over targets and frames, with the receivers of a scene, m."""
    bounds_m = []
    for number in range(SETTLED_FRAMES, len(recording.frames), BOUND_EVERY):
        bound = network_bound(scene, recording.frames[number], recording.targets[number])
        bounds_m.append(bound.location_m)
    return float(np.mean(np.concatenate(bounds_m)))


def measure(task: tuple[str, int, int, str]) -> list[Row]:
    """Rows of one scene and seed.

    task: scene, seed, number of frames and scheme
    """
    name, seed, num_frames, scheme = task
    recording = record(replace(load_scene(name), seed=seed), scheme, num_frames)
    num_receivers = len(recording.scene.receivers)
    lossless = replay(recording, np.ones((num_frames, num_receivers), bool))

    runs: dict[str, list[tuple[Pattern, LossFigures]]] = {}
    for pattern in patterns(num_frames, num_receivers, recording.scene.update_rate_hz):
        runs.setdefault(pattern.name, []).append((pattern, replay(recording, pattern.arrived)))

    complete = Pattern("none", np.ones((num_frames, num_receivers), bool))
    rows = [_row(recording, seed, [(complete, lossless)], lossless)]
    return rows + [_row(recording, seed, draws, lossless) for draws in runs.values()]


def _row(
    recording: Recording,
    seed: int,
    draws: Sequence[tuple[Pattern, LossFigures]],
    lossless: LossFigures,
) -> Row:
    """Row of one pattern: means and sums over its draws."""
    means = []
    ratios = []
    for pattern, figures in draws:
        first = pattern.first - SETTLED_FRAMES
        last = None if pattern.last is None else pattern.last - SETTLED_FRAMES
        mean = figures.gospa_m[first:last].mean()
        means.append(mean)
        ratios.append(mean / lossless.gospa_m[first:last].mean())
    runs = [figures for _, figures in draws]
    answering = draws[0][0].answering
    return Row(
        scene=recording.scene.name,
        seed=seed,
        pattern=draws[0][0].name,
        gospa_m=float(np.mean(means)),
        ratio=float(np.mean(ratios)),
        worst=float(np.max(ratios)),
        bound=bound_ratio(recording, answering) if answering else float("nan"),
        track_nees=float(np.mean([figures.track_nees for figures in runs])),
        continuity=float(np.mean([figures.continuity for figures in runs])),
        identity_switches=sum(figures.identity_switches for figures in runs),
        false_tracks=sum(figures.false_tracks for figures in runs),
    )


def measure_all(
    scenes: Sequence[str], seeds: Sequence[int], num_frames: int, scheme: str = "local_ml"
) -> list[Row]:
    """Rows of all scenes and seeds, measured on all processors."""
    tasks = [(scene, seed, num_frames, scheme) for scene, seed in product(scenes, seeds)]
    with ProcessPoolExecutor(min(len(tasks), len(os.sched_getaffinity(0)))) as pool:
        return [row for rows in pool.map(measure, tasks) for row in rows]


def table(rows: Sequence[Row]) -> Table:
    """Table of the rows."""
    columns = (
        "scene",
        "seed",
        "lost",
        "GOSPA\n(m)",
        "over\nlossless",
        "worst\ndraw",
        "bound over\nthat of all",
        "track\nNEES",
        "conti-\nnuity",
        "identity\nswitches",
        "false\ntracks",
    )
    shown = Table(*columns, box=SIMPLE_HEAD)
    for row in rows:
        shown.add_row(
            row.scene,
            str(row.seed),
            row.pattern,
            f"{row.gospa_m:.3f}",
            f"{row.ratio:.2f}",
            f"{row.worst:.2f}",
            "-" if np.isnan(row.bound) else f"{row.bound:.2f}",
            f"{row.track_nees:.1f}",
            f"{row.continuity:.3f}",
            str(row.identity_switches),
            str(row.false_tracks),
        )
    return shown


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", nargs="+", default=["campus", "cell_free_compact", "yard"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[101])
    parser.add_argument("--frames", type=int, default=120)
    parser.add_argument("--scheme", default="local_ml")
    arguments = parser.parse_args()
    if arguments.frames < SHORTEST:
        parser.error(f"--frames {arguments.frames}: the outages need at least {SHORTEST}")
    rows = measure_all(arguments.scenes, arguments.seeds, arguments.frames, arguments.scheme)
    Console(width=120).print(table(rows))


if __name__ == "__main__":
    main()
