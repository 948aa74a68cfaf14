"""Samples on disk: drawn ones written out, or recordings that somebody brings in the same files.

    dataset.json            format, what the scene must be, number of samples
    echo-<receiver>.npy     [N, num_rx_ant, num_subcarriers, num_symbols, 2], float16: real and imaginary part
                            of the received signal in units of the square root of the noise power
    downlink.npy            [N, bytes], uint8: symbols and precoders of each frame (fronthaul.downlink)
    targets.npy             [N, Q, 2, 3], float32: location [m] and velocity [m/s] in map; NaN: no target
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Iterator, Mapping

import numpy as np

from cooperative_isac.fronthaul.downlink import pack_downlink, unpack_downlink
from cooperative_isac.fronthaul.learned.weights import fact_differences, scene_facts
from cooperative_isac.scene.model import Scene, TargetClass, TargetState
from cooperative_isac.training.samples import DrawnSamples, Situation, Split

FORMAT = "cooperative_isac dataset 1"
DESCRIPTION = "dataset.json"
TRAIN_SHARE = 0.8


@dataclass(frozen=True)
class RecordedSamples:
    """The samples in a folder; the first four fifths are for training."""

    scene: Scene
    folder: Path

    @cached_property
    def description(self) -> dict:
        """What dataset.json says. ValueError when the samples are not of this scene."""
        path = self.folder / DESCRIPTION
        if not path.is_file():
            raise ValueError(
                f"{self.folder} is no dataset: it has no {DESCRIPTION}; 'isac dataset' writes one")
        description = json.loads(path.read_text(encoding="utf-8"))
        if description.get("format") != FORMAT:
            raise ValueError(f"{path}: format '{description.get('format')}' is not '{FORMAT}'")
        differences = fact_differences(description["scene"], scene_facts(self.scene))
        if differences:
            raise ValueError(f"dataset {self.folder} is of another scene than '{self.scene.name}': "
                             f"{'; '.join(differences[:4])}")
        return description

    @property
    def splits(self) -> Mapping[str, Split]:
        count = self.description["samples"]
        train = int(TRAIN_SHARE * count)
        return {"train": Split(0, train), "validation": Split(train, count - train)}

    def situation(self, number: int) -> Situation:
        rows = self._array("targets")[number]
        present = np.flatnonzero(np.isfinite(rows).all(axis=(1, 2)))
        targets = tuple(
            TargetState(f"target_{row}", TargetClass.UNKNOWN, *rows[row].astype(float)) for row in present)
        frame = unpack_downlink(self.scene, self._array("downlink")[number].tobytes())
        return Situation(number, self.scene, frame, targets)

    def echo(self, situation: Situation, receiver: str) -> np.ndarray:
        parts = self._array(f"echo-{receiver}")[situation.number].astype(np.float32)
        return parts.view(np.complex64)[..., 0] * np.float32(np.sqrt(self.scene.propagation.noise_power_w))

    def _array(self, name: str) -> np.ndarray:
        return np.load(self.folder / f"{name}.npy", mmap_mode="r")


def write_samples(samples: DrawnSamples, folder: Path, count: int) -> Iterator[int]:
    """Write samples 0 .. count - 1 into a new folder; yields how many are there."""
    folder.mkdir(parents=True)
    files: dict[str, np.ndarray] = {}
    for number in range(count):
        for name, value in _arrays(samples, number).items():
            if name not in files:
                files[name] = np.lib.format.open_memmap(folder / f"{name}.npy", "w+", value.dtype,
                                                        (count, *value.shape))
            files[name][number] = value
        yield number + 1
    description = {"format": FORMAT, "samples": count, "variety": repr(samples.variety),
                   "scene": scene_facts(samples.scene)}
    (folder / DESCRIPTION).write_text(json.dumps(description, indent=1), encoding="utf-8")


def _arrays(samples: DrawnSamples, number: int) -> dict[str, np.ndarray]:
    situation, variety, draw = samples.situation(number), samples.variety, samples.scene.draw
    targets = np.full((variety.targets[1] if variety.targets else draw.num_targets, 2, 3), np.nan, np.float32)
    for row, target in zip(targets, situation.targets):
        row[0], row[1] = target.position_m, target.velocity_mps
    arrays = {"targets": targets, "downlink": np.frombuffer(pack_downlink(situation.frame), np.uint8)}
    scale = np.float32(samples.scene.propagation.noise_power_w ** -0.5)
    for site in samples.scene.receivers:
        echo = np.ascontiguousarray(samples.echo(situation, site.name) * scale)
        arrays[f"echo-{site.name}"] = echo.view(np.float32).reshape(*echo.shape, 2).astype(np.float16)
    return arrays
