"""Training samples: each a function of the scene, the variety and its number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from cooperative_isac.pipeline import hear, transmit
from cooperative_isac.scene.draw import draw_targets, frame_generator
from cooperative_isac.scene.file.config import with_power
from cooperative_isac.scene.model import Scene, TargetState
from cooperative_isac.training.splits import SPLITS, Split
from cooperative_isac.waveform.signal import Signal

TRAINING_SEED = 5_270_913_604  # far from the small seeds that people evaluate with


@dataclass(frozen=True)
class SampleRanges:
    """In what samples differ from the scene, each (low, high) drawn uniformly; None: as the scene
    says.

    targets: their number; power_dbm: transmit power; scatterers: number of clutter scatterers (CF
    eq. 29);
    timing_offset_s, frequency_offset_hz: standard deviations of the clock offsets (CF eq. 30).
    """

    targets: tuple[int, int] | None = None
    power_dbm: tuple[float, float] | None = None
    scatterers: tuple[int, int] | None = None
    timing_offset_s: tuple[float, float] | None = None
    frequency_offset_hz: tuple[float, float] | None = None

    @property
    def stored_text(self) -> str:
        """Text of the ranges in datasets and caches, which keep the name that the class had."""
        return repr(self).replace(type(self).__name__, "Variety", 1)

    def __post_init__(self) -> None:
        for name, limits in vars(self).items():
            least = -np.inf if name == "power_dbm" else 0
            if limits is not None and not (
                np.isfinite(limits).all() and least <= limits[0] <= limits[1]
            ):
                raise ValueError(
                    f"{name} {limits[0]} to {limits[1]}: write the lower limit first, then the "
                    "higher"
                    f"{'' if name == 'power_dbm' else ', none below 0'}"
                )


@dataclass(frozen=True)
class Sample:
    """One sample without its echoes."""

    number: int
    scene: Scene
    frame: Signal
    targets: tuple[TargetState, ...]


class Source(Protocol):
    """Where samples come from."""

    @property
    def splits(self) -> Mapping[str, Split]:
        """Train and validation samples."""

    def sample(self, number: int) -> Sample:
        """What is sent and where the targets are in one sample."""

    def echo(self, sample: Sample, receiver: str) -> np.ndarray:
        """The echo at one receiver, [num_rx_ant, num_subcarriers, num_symbols], complex64,
        sqrt(W).
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
                "wanted; use the scene without propagation.paths"
            )

    @property
    def splits(self) -> Mapping[str, Split]:
        """Train and validation samples."""
        return SPLITS

    def sample(self, number: int) -> Sample:
        """What is sent and where the targets are in one sample."""
        scene = sample_scene(replace(self.scene, seed=TRAINING_SEED), self.ranges, number)
        targets = draw_targets(scene, frame_generator(scene.seed, number, "targets"))
        return Sample(number, scene, transmit(scene, number), targets)

    def echo(self, sample: Sample, receiver: str) -> np.ndarray:
        """The simulated echo at one receiver; see Source.echo."""
        return hear(sample.scene, sample.frame, receiver, sample.targets)


def split_numbers(source: Source, name: str, count: int) -> np.ndarray:
    """Numbers of the first `count` samples of a split, of all where count is 0; more than it has go
    on at `beyond`.

    ValueError: it has fewer and nothing beyond.
    """
    split = source.splits[name]
    more = max(count - split.count, 0)
    named = np.arange(split.first, split.first + (count - more or split.count))
    if not more:
        return named
    if split.beyond is None:
        raise ValueError(f"{count} {name} samples are wanted, the split has {split.count}")
    return np.concatenate([named, split.beyond + np.arange(more)])


def sample_scene(scene: Scene, ranges: SampleRanges, number: int) -> Scene:
    """The scene of one sample."""
    generator = frame_generator(scene.seed, number, "variety")
    if ranges.targets is not None:
        count = int(generator.integers(ranges.targets[0], ranges.targets[1] + 1))
        scene = replace(scene, draw=replace(scene.draw, num_targets=count))
    if ranges.power_dbm is not None:
        scene = with_power(scene, generator.uniform(*ranges.power_dbm))
    return replace(scene, propagation=_sample_propagation(scene.propagation, ranges, generator))


def _sample_propagation(propagation, ranges: SampleRanges, generator: np.random.Generator):
    if ranges.scatterers is not None:
        count = int(generator.integers(ranges.scatterers[0], ranges.scatterers[1] + 1))
        clutter = replace(propagation.clutter, num_scatterers=count, positions_m=None)
        propagation = replace(propagation, clutter=clutter)
    if ranges.timing_offset_s is not None:
        propagation = replace(
            propagation, timing_offset_std_s=generator.uniform(*ranges.timing_offset_s)
        )
    if ranges.frequency_offset_hz is not None:
        propagation = replace(
            propagation, frequency_offset_std_hz=generator.uniform(*ranges.frequency_offset_hz)
        )
    return propagation
