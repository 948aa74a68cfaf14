"""Training samples: each is a function of the scene, the ranges and its number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from cooperative_isac.pipeline import receive_echo, transmit
from cooperative_isac.scene.band import Propagation
from cooperative_isac.scene.draw import draw_targets, frame_generator
from cooperative_isac.scene.file.config import with_power
from cooperative_isac.scene.model import Scene, TargetClass, TargetState
from cooperative_isac.training.splits import SPLITS, Split
from cooperative_isac.waveform.signal import Signal

# Seed of all training samples, far from the small seeds of evaluations.
TRAINING_SEED = 5_270_913_604


@dataclass(frozen=True)
class SampleRanges:
    """Ranges (low, high) from which each sample draws uniformly; None: as the scene has it.

    targets: number of targets
    power_dbm: transmit power, dBm
    scatterers: number of clutter scatterers (CF eq. 29)
    timing_offset_s: standard deviation of the timing offsets (CF eq. 30)
    frequency_offset_hz: standard deviation of the frequency offsets (CF eq. 30)
    vehicles: probability that a target is a vehicle on the ground; the others are UAVs. None:
    targets of unknown class
    """

    targets: tuple[int, int] | None = None
    power_dbm: tuple[float, float] | None = None
    scatterers: tuple[int, int] | None = None
    timing_offset_s: tuple[float, float] | None = None
    frequency_offset_hz: tuple[float, float] | None = None
    vehicles: tuple[float, float] | None = None

    @property
    def stored_text(self) -> str:
        """Text of the ranges in datasets and caches, which keep the first name of the class.

        The latest range is in the text only where it is used, so that older ones keep theirs.
        """
        text = repr(self).replace(type(self).__name__, "Variety", 1)
        return text.replace(", vehicles=None", "")

    def __post_init__(self) -> None:
        for name, limits in vars(self).items():
            if limits is None:
                continue
            low, high = limits
            may_be_negative = name == "power_dbm"
            lowest = -np.inf if may_be_negative else 0
            if not (np.isfinite(limits).all() and lowest <= low <= high):
                raise ValueError(
                    f"{name} {low} to {high}: write the lower limit first, then the higher"
                    f"{'' if may_be_negative else ', none below 0'}"
                )
        if self.vehicles is not None and self.vehicles[1] > 1:
            raise ValueError(f"vehicles {self.vehicles[1]} is no probability; write 1 at most")


@dataclass(frozen=True)
class Sample:
    """One sample without its echoes.

    scene: the scene with what the sample drew from the ranges
    frame: what is transmitted
    targets: true states of the targets
    """

    number: int
    scene: Scene
    frame: Signal
    targets: tuple[TargetState, ...]


class Source(Protocol):
    """Source of training and validation samples."""

    @property
    def splits(self) -> Mapping[str, Split]:
        """Train and validation samples."""

    def sample(self, number: int) -> Sample:
        """The frame and the targets of one sample."""

    def echo(self, sample: Sample, receiver: str) -> np.ndarray:
        """The echo of a sample at one receiver.

        Returns [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W).
        """


@dataclass(frozen=True)
class DrawnSamples:
    """Samples drawn on the fly, the same in every process."""

    scene: Scene
    ranges: SampleRanges = SampleRanges()

    def __post_init__(self) -> None:
        if self.scene.propagation.paths is not None:
            raise ValueError(
                f"the echoes of scene '{self.scene.name}' come from "
                f"{self.scene.propagation.paths.source}, those of drawn targets are "
                "needed; use the scene without propagation.paths"
            )
        stand_on_ground = self.ranges.vehicles is not None and self.scene.dimension == 3
        if stand_on_ground and not self.scene.body(TargetClass.VEHICLE).radius_m:
            raise ValueError(
                f"vehicles of scene '{self.scene.name}' have no size, so that their height over "
                "the ground is unknown; add bodies.vehicle to the scene, or leave vehicles out"
            )

    @property
    def splits(self) -> Mapping[str, Split]:
        """Train and validation samples."""
        return SPLITS

    def sample(self, number: int) -> Sample:
        """The frame and the targets of one sample; see Source.sample."""
        scene = sample_scene(replace(self.scene, seed=TRAINING_SEED), self.ranges, number)
        targets = draw_targets(scene, frame_generator(scene.seed, number, "targets"))
        if self.ranges.vehicles is not None:
            targets = _with_classes(scene, targets, self.ranges.vehicles, number)
        return Sample(number, scene, transmit(scene, number), targets)

    def echo(self, sample: Sample, receiver: str) -> np.ndarray:
        """The simulated echo at one receiver; see Source.echo."""
        return receive_echo(sample.scene, sample.frame, receiver, sample.targets)


def split_numbers(source: Source, name: str, count: int) -> np.ndarray:
    """Numbers of the first `count` samples of a split, of all where count is 0.

    A larger count than the split has continues at its `beyond`.

    Returns [count], int64.
    Raises ValueError where the split has fewer samples and nothing beyond.
    """
    split = source.splits[name]
    num_inside = min(count, split.count) if count else split.count
    num_beyond = max(count - split.count, 0)
    inside = np.arange(split.first, split.first + num_inside)
    if not num_beyond:
        return inside
    if split.beyond is None:
        raise ValueError(f"{count} {name} samples are requested, the split has {split.count}")
    return np.concatenate([inside, split.beyond + np.arange(num_beyond)])


def sample_scene(scene: Scene, ranges: SampleRanges, number: int) -> Scene:
    """Scene of one sample: quantities with a range are drawn, all others are unchanged."""
    # The stream keeps its first name, as its random numbers depend on it.
    generator = frame_generator(scene.seed, number, "variety")
    if ranges.targets is not None:
        count = _draw_count(generator, ranges.targets)
        scene = replace(scene, draw=replace(scene.draw, num_targets=count))
    if ranges.power_dbm is not None:
        scene = with_power(scene, generator.uniform(*ranges.power_dbm))
    return replace(scene, propagation=_sample_propagation(scene.propagation, ranges, generator))


def _with_classes(
    scene: Scene,
    targets: tuple[TargetState, ...],
    vehicles: tuple[float, float],
    number: int,
) -> tuple[TargetState, ...]:
    """Targets as UAVs, or as vehicles that stand on the ground and do not climb.

    targets: drawn from the scene, of unknown class
    vehicles: range of the probability that a target is a vehicle
    """
    # Vehicles, drawn outside of buildings.
    generator = frame_generator(scene.seed, number, "classes")
    on_ground = draw_targets(_at_ground(scene), generator)

    # One of both for each target.
    is_vehicle = generator.random(len(targets)) < generator.uniform(*vehicles)
    return tuple(
        replace(vehicle, target_class=TargetClass.VEHICLE)
        if chosen
        else replace(target, target_class=TargetClass.UAV)
        for target, vehicle, chosen in zip(targets, on_ground, is_vehicle)
    )


def _at_ground(scene: Scene) -> Scene:
    """The scene with drawn targets that stand on the ground as vehicles and do not climb."""
    if scene.dimension == 2:
        return scene
    ground_m = 0.0
    if scene.world is not None and scene.world.ground is not None:
        ground_m = float(scene.world.ground.corner_m[2])

    # The middle of a vehicle is at half its height.
    height_m = ground_m + float(scene.body(TargetClass.VEHICLE).size_m[2]) / 2
    draw = replace(scene.draw, max_climb_mps=0.0, height_m=(height_m, height_m))
    return replace(scene, draw=draw)


def _sample_propagation(
    propagation: Propagation, ranges: SampleRanges, generator: np.random.Generator
) -> Propagation:
    """Clutter and clock offsets of one sample."""
    if ranges.scatterers is not None:
        count = _draw_count(generator, ranges.scatterers)
        clutter = replace(propagation.clutter, num_scatterers=count, positions_m=None)
        propagation = replace(propagation, clutter=clutter)
    if ranges.timing_offset_s is not None:
        std_s = generator.uniform(*ranges.timing_offset_s)
        propagation = replace(propagation, timing_offset_std_s=std_s)
    if ranges.frequency_offset_hz is not None:
        std_hz = generator.uniform(*ranges.frequency_offset_hz)
        propagation = replace(propagation, frequency_offset_std_hz=std_hz)
    return propagation


def _draw_count(generator: np.random.Generator, limits: tuple[int, int]) -> int:
    """A number from the first limit to the second, both included."""
    low, high = limits
    return int(generator.integers(low, high + 1))
