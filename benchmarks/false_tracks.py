"""Weak candidates: share of targets that are found, and false tracks.

python benchmarks/false_tracks.py [--powers 22 25] [--seeds 31 32] [--frames 300] [--rates 0.05]
    [--processes 2] [--record FILE]

A run is of one power and seed, and prints a line when it ends. With a record, a program that was
stopped continues: runs that the file contains are not repeated.

Consecutive frames from echoes to tracks. A target is found where a detection, and tracked where an
established track, is within 3 m; both without and with weak detections. A track is false that is
within 5 m of a target, the cutoff of GOSPA, in less than half of its frames, and displaced where
the same holds of 3 m; most of these are of a target whose height is off, or lose it. Off a target:
tracks that have none at their confirmation. Within 2 s: tracked at least once in a sequence of that
length, whose tracker begins without tracks.

By scores: false tracks a minute that noise confirms, by Wald's identity: exp(-score) of the tracks
of targets at their confirmation, over the number of frames in which a target had none, for each
target whose paths noise meets. It shows rates that no count of some minutes does, but has no term
for what the likelihoods leave out.
"""

import argparse
import json
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import numpy as np
from rich.console import Console
from rich.table import Table

from cooperative_isac.evaluation.monte_carlo import make_ends
from cooperative_isac.fusion.detection import Detection, complete
from cooperative_isac.metrics.assignment import match_within, pairwise_distances
from cooperative_isac.metrics.run_score import DETECTION_CUTOFF_M, GOSPA_CUTOFF_M, RunScore
from cooperative_isac.pipeline import make_frame, receive
from cooperative_isac.scene.draw import scene_targets
from cooperative_isac.scene.file.config import load_scene, with_power
from cooperative_isac.scene.model import Scene, TargetState
from cooperative_isac.schemes.registry import make_scheme
from cooperative_isac.tracking.track import ESTABLISHED, Track
from cooperative_isac.tracking.tracker import Tracker

# Length of a sequence, and time before tracks count in a run, s.
SEQUENCE_S = 2.0
# Without an event in a time T, the rate is below 3 / T with a probability of 95 %.
UPPER_95 = 3.0


@dataclass
class Tally:
    """Sums over runs.

    targets, found, false_detections: of all frames
    found_alone: by the reports of the stations alone
    counted, tracked: targets in the frames after the first seconds of a run
    tracked_alone: by the reports of the stations alone
    sequences, found_in: targets of all sequences, and those that were tracked in them
    false_tracks, false_in: in whole runs, and in sequences
    displaced_tracks, displaced_in: likewise, the false ones included
    off_target: tracks of whole runs that had no target within the cutoff when they were confirmed
    untracked: pairs of frame and target without a track, in sequences
    by_scores: sum of exp(-score) over the tracks of sequences at their confirmation
    most_bits: of a packet
    """

    seconds: float = 0.0
    frames: int = 0
    targets: int = 0
    found: int = 0
    found_alone: int = 0
    false_detections: int = 0
    counted: int = 0
    tracked: int = 0
    tracked_alone: int = 0
    sequences: int = 0
    found_in: int = 0
    false_tracks: int = 0
    false_in: int = 0
    displaced_tracks: int = 0
    displaced_in: int = 0
    off_target: int = 0
    untracked: int = 0
    by_scores: float = 0.0
    most_bits: int = 0

    def plus(self, other: "Tally") -> "Tally":
        """Sums over the runs of both, and the larger packet."""
        sums = {
            one.name: getattr(self, one.name) + getattr(other, one.name) for one in fields(Tally)
        }
        return replace(Tally(**sums), most_bits=max(self.most_bits, other.most_bits))


@dataclass(frozen=True)
class Run:
    """Settings of one run of consecutive frames.

    bits: candidate_bits; 0: no candidates
    rates: false_tracks_per_minute, each with a tracker of its own
    """

    scene: str
    power_dbm: float
    seed: int
    frames: int
    bits: int
    rates: tuple[float, ...]
    no_targets: bool

    def prepared(self) -> Scene:
        """The scene with these settings."""
        scene = with_power(load_scene(self.scene), self.power_dbm)
        sensing = replace(scene.sensing, candidate_bits=self.bits)
        targets = () if self.no_targets else scene.targets
        return replace(scene, seed=self.seed, sensing=sensing, targets=targets)


@dataclass(frozen=True)
class Decoded:
    """One frame with its detections.

    most_bits: size of its largest packet
    """

    number: int
    targets: tuple[TargetState, ...]
    detections: tuple[Detection, ...]
    most_bits: int


class Chain:
    """A tracker without tracks at first, and its scores.

    displaced: counts as false what is off by DETECTION_CUTOFF_M
    score: counts as false what is off by GOSPA_CUTOFF_M
    seen: identities of tracks that were established
    num_off_target: tracks without a target within the cutoff when they were established
    tracked: rows of targets that were tracked
    """

    def __init__(self, scene: Scene):
        self.tracker = Tracker(scene.tracking, scene.dimension)
        self.displaced = RunScore(DETECTION_CUTOFF_M, scene.tracking, scene.dimension)
        self.score = RunScore(GOSPA_CUTOFF_M, scene.tracking, scene.dimension)
        self.seen: set[int] = set()
        self.num_off_target = 0
        self.tracked: set[int] = set()

    def update(
        self, time_s: float, targets: Sequence[TargetState], detections: Sequence[Detection]
    ) -> tuple[list[tuple[int, int]], float]:
        """One more frame.

        Returns pairs of a target and its track, and the sum of exp(-score) over new tracks.
        """
        tracks = self.tracker.update(time_s, detections)
        for score in (self.displaced, self.score):
            score.add(time_s, targets, detections, tracks)
        established = [one for one in tracks if one.status in ESTABLISHED]
        pairs = near(targets, established)
        self.tracked |= {row for row, _ in pairs}

        # New tracks; those of stations' reports have no score.
        with_target = {established[column].track_id for _, column in pairs}
        new = {one.track_id for one in established} - self.seen
        self.num_off_target += len(new - with_target)
        self.seen |= new
        scores = self.tracker.scores
        return pairs, float(sum(np.exp(-scores.get(identity, np.inf)) for identity in new))


def near(
    targets: Sequence[TargetState], found: Sequence[Detection | Track]
) -> list[tuple[int, int]]:
    """Pairs of a target and a detection or track within the cutoff."""
    truths = np.array([target.position_m for target in targets]).reshape(-1, 3)
    places = np.array([item.position_m for item in found]).reshape(-1, 3)
    return match_within(pairwise_distances(truths, places), DETECTION_CUTOFF_M)


def decoded(scene: Scene, num_frames: int) -> Iterator[Decoded]:
    """Consecutive frames from echoes to detections."""
    ends = make_ends(make_scheme(scene.sensing.scheme, scene))
    for number in range(num_frames):
        time_s = number / scene.update_rate_hz
        targets = scene_targets(scene, time_s)
        frame = make_frame(scene, number, time_s)
        packets = {}
        for station, encoder in ends.encoders.items():
            packets[station] = encoder.encode(receive(scene, frame, station, targets), frame)
            encoder.idle()
        most_bits = max(8 * len(packet) for packet in packets.values())
        yield Decoded(number, targets, ends.decoder.decode(packets, frame), most_bits)


def tallied(scene: Scene, frames: Sequence[Decoded]) -> Tally:
    """Figures of one run of a scene with its tracks."""
    tally = Tally()
    num_first = round(SEQUENCE_S * scene.update_rate_hz)
    whole = Chain(scene)
    alone = Chain(scene)
    short = Chain(scene)
    for frame in frames:
        time_s = frame.number / scene.update_rate_hz
        targets = frame.targets
        found = complete(frame.detections)
        reported = complete([one for one in frame.detections if one.evidence is None])
        num_found = len(near(targets, found))
        tally.found += num_found
        tally.found_alone += len(near(targets, reported))
        tally.false_detections += len(found) - num_found
        tally.targets += len(targets)
        tally.most_bits = max(tally.most_bits, frame.most_bits)

        # Tracks of the whole run.
        pairs, _ = whole.update(time_s, targets, frame.detections)
        pairs_alone, _ = alone.update(time_s, targets, reported)
        if frame.number >= num_first:
            tally.counted += len(targets)
            tally.tracked += len(pairs)
            tally.tracked_alone += len(pairs_alone)

        # Tracks of sequences.
        if frame.number % num_first == 0:
            short = Chain(scene)
        pairs, by_scores = short.update(time_s, targets, frame.detections)
        tally.untracked += len(targets) - len(pairs)
        tally.by_scores += by_scores
        if frame.number % num_first == num_first - 1:
            tally.sequences += len(targets)
            tally.found_in += len(short.tracked)
            tally.false_in += short.score.summary().false_tracks
            tally.displaced_in += short.displaced.summary().false_tracks

    tally.frames += len(frames)
    tally.seconds += len(frames) / scene.update_rate_hz
    tally.false_tracks += whole.score.summary().false_tracks
    tally.displaced_tracks += whole.displaced.summary().false_tracks
    tally.off_target += whole.num_off_target
    return tally


def measured(run: Run) -> tuple[Run, dict[float, Tally]]:
    """A run, and its figures by rate."""
    scene = run.prepared()
    frames = list(decoded(scene, run.frames))
    tallies = {}
    for rate in run.rates:
        tracking = replace(scene.tracking, false_tracks_per_minute=rate)
        tallies[rate] = tallied(replace(scene, tracking=tracking), frames)
    return run, tallies


def all_measured(
    runs: Sequence[Run], num_processes: int, record: Path | None
) -> Iterator[tuple[Run, dict[float, Tally]]]:
    """Runs with their figures as they end, those that a record contains first."""
    # Runs that an earlier program has finished.
    known = recorded(record) if record and record.exists() else {}
    for run in runs:
        if run in known:
            yield run, known[run]

    # The others, each written before it is shown.
    missing = [run for run in runs if run not in known]
    with multiprocessing.get_context("spawn").Pool(num_processes) as pool:
        for run, tallies in pool.imap_unordered(measured, missing):
            if record:
                add_to_record(record, run, tallies)
            yield run, tallies


def recorded(record: Path) -> dict[Run, dict[float, Tally]]:
    """The runs that a file contains, a line of JSON for each."""
    found = {}
    for line in record.read_text(encoding="utf-8").splitlines():
        content = json.loads(line)
        settings = content["run"]
        run = Run(**settings | {"rates": tuple(settings["rates"])})
        tallies = [Tally(**one) for one in content["tallies"]]
        found[run] = dict(zip(run.rates, tallies))
    return found


def add_to_record(record: Path, run: Run, tallies: dict[float, Tally]) -> None:
    """Add a run to a file."""
    content = {"run": asdict(run), "tallies": [asdict(tallies[rate]) for rate in run.rates]}
    with record.open("a", encoding="utf-8") as file:
        file.write(json.dumps(content) + "\n")


def columns(tally: Tally) -> dict[str, str]:
    """Figures by their names in the table."""
    minutes = tally.seconds / 60
    upper = f" (< {UPPER_95 / minutes:.1f})" if not tally.false_tracks else ""
    by_scores = tally.targets / minutes * tally.by_scores / max(tally.untracked, 1)
    return {
        "min": f"{minutes:.1f}",
        "found": _both(tally.found_alone, tally.found, tally.targets),
        "tracked": _both(tally.tracked_alone, tally.tracked, tally.counted),
        "within 2 s": f"{100 * tally.found_in / max(tally.sequences, 1):.1f} %",
        "false a frame": f"{tally.false_detections / tally.frames:.2f}",
        "false tracks a min": f"{tally.false_tracks / minutes:.2f}{upper}",
        "displaced": f"{tally.displaced_tracks / minutes:.2f}",
        "off a target": f"{tally.off_target / minutes:.2f}",
        "in sequences": f"{tally.false_in / minutes:.2f}",
        "displaced in them": f"{tally.displaced_in / minutes:.2f}",
        "by scores": f"{by_scores:.3f}",
        "bit, at most": f"{tally.most_bits}",
    }


def _both(alone: int, found: int, total: int) -> str:
    """Shares without and with weak detections."""
    return f"{100 * alone / max(total, 1):.1f} / {100 * found / max(total, 1):.1f} %"


def main() -> None:
    """Print a table: one row for each power and rate."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scene", default="campus")
    parser.add_argument("--powers", type=float, nargs="+", default=[22.0, 25.0], help="dBm")
    parser.add_argument("--seeds", type=int, nargs="+", default=[31, 32])
    parser.add_argument("--frames", type=int, default=300, help="of each seed")
    parser.add_argument("--bits", type=int, default=4000, help="candidate_bits; 0: no candidates")
    parser.add_argument(
        "--rates", type=float, nargs="+", default=[0.05], help="false_tracks_per_minute"
    )
    parser.add_argument("--no-targets", action="store_true", help="noise and clutter alone")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--record", type=Path, help="file of finished runs")
    options = parser.parse_args()

    run_of = partial(
        Run,
        scene=options.scene,
        frames=options.frames,
        bits=options.bits,
        rates=tuple(options.rates),
        no_targets=options.no_targets,
    )
    runs = [
        run_of(power_dbm=power_dbm, seed=seed)
        for power_dbm in options.powers
        for seed in options.seeds
    ]

    # Sums over the seeds, with a line for each run.
    sums = {(power_dbm, rate): Tally() for power_dbm in options.powers for rate in options.rates}
    console = Console(width=160)
    for run, tallies in all_measured(runs, options.processes, options.record):
        for rate, tally in tallies.items():
            sums[run.power_dbm, rate] = sums[run.power_dbm, rate].plus(tally)
            console.print(line_of(run, rate, tally), highlight=False, soft_wrap=True)

    table = Table("dBm", "rate", *columns(Tally(seconds=1.0, frames=1)))
    for (power_dbm, rate), tally in sums.items():
        table.add_row(f"{power_dbm:g}", f"{rate:g}", *columns(tally).values())
    console.print(table)


def line_of(run: Run, rate: float, tally: Tally) -> str:
    """Figures of one run in a line."""
    figures = ", ".join(f"{name} {value}" for name, value in columns(tally).items())
    return f"{run.power_dbm:g} dBm, seed {run.seed}, rate {rate:g}: {figures}"


if __name__ == "__main__":
    main()
