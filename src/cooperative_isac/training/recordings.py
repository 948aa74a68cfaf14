"""Samples on disk: drawn ones written out, or recordings that somebody brings in the same files.

dataset.json            format, what the scene must be, number of samples
echo-<receiver>.npy     [N, num_rx_ant, num_subcarriers, num_symbols, 2], float16: real and
                        imaginary part of the received signal in units of the square root of the
                        noise power
downlink.npy            [N, bytes], uint8: symbols and precoders of each frame (fronthaul.downlink)
targets.npy             [N, Q, 2, 3], float32: location [m] and velocity [m/s] in map; NaN: no
target
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cooperative_isac.fronthaul.downlink import pack_downlink, unpack_downlink
from cooperative_isac.learned.weights import fact_differences, scene_facts
from cooperative_isac.output.files import OutputError, check_new_folder, write_file
from cooperative_isac.scene.file.errors import quoted
from cooperative_isac.scene.model import Scene, TargetClass, TargetState
from cooperative_isac.training.samples import DrawnSamples, Sample, Split

FORMAT = "cooperative_isac dataset 1"
DESCRIPTION = "dataset.json"
TRAIN_SHARE = 0.8
ANEW = "write the dataset anew"


class Description(BaseModel):
    """What dataset.json must hold. At least one sample is for training and one for validation."""

    model_config = ConfigDict(strict=True)

    format: str
    samples: int = Field(ge=2)
    scene: dict[str, Any]


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
                f"{self.folder} is no dataset: it has no {DESCRIPTION}; 'isac dataset' writes one"
            )
        try:
            description = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise ValueError(f"{path}: {quoted(error)}; {ANEW}") from None
        found = description.get("format") if isinstance(description, dict) else None
        if found != FORMAT:
            raise ValueError(f"{path}: format '{quoted(found)}' is not '{FORMAT}'; {ANEW}")
        try:
            Description.model_validate(description)
        except ValidationError as error:
            fault = error.errors(include_url=False)[0]
            raise ValueError(
                f"{path}: {'.'.join(map(str, fault['loc']))}: {quoted(fault['msg'])}; {ANEW}"
            ) from None
        differences = fact_differences(description["scene"], scene_facts(self.scene))
        if differences:
            raise ValueError(
                f"dataset {self.folder} is of another scene than '{self.scene.name}': "
                f"{'; '.join(differences[:4])}"
            )
        return description

    @cached_property
    def arrays(self) -> Mapping[str, np.ndarray]:
        """The files by name, not read yet. ValueError for one that is missing, cut off or of
        another shape.
        """
        grid = self.scene.grid
        shapes: dict[str, tuple[str, tuple[int | None, ...]]] = {
            "targets": ("float32", (None, 2, 3)),
            "downlink": ("uint8", (None,)),
        }
        for site in self.scene.receivers:
            shape = site.num_ant, grid.num_subcarriers, grid.num_symbols, 2
            shapes[f"echo-{site.name}"] = "float16", shape
        count = self.description["samples"]
        return {
            name: self._array(name, dtype, (count, *shape))
            for name, (dtype, shape) in shapes.items()
        }

    @property
    def splits(self) -> Mapping[str, Split]:
        """Train and validation samples."""
        count = len(self.arrays["targets"])
        train = int(TRAIN_SHARE * count)
        return {"train": Split(0, train), "validation": Split(train, count - train)}

    def sample(self, number: int) -> Sample:
        """What was sent and where the targets were in one sample."""
        # Where the targets are
        rows = self.arrays["targets"][number]
        missing = np.isnan(rows).all(axis=(1, 2))
        if not np.isfinite(rows[~missing]).all():
            raise self._fault(
                "targets", number, "has numbers that are not finite in the row of a target"
            )
        targets = tuple(
            TargetState(f"target_{row}", TargetClass.UNKNOWN, *rows[row].astype(float))
            for row in np.flatnonzero(~missing)
        )

        # What was sent
        try:
            frame = unpack_downlink(self.scene, self.arrays["downlink"][number].tobytes())
        except ValueError as error:
            raise self._fault("downlink", number, str(error)) from None
        return Sample(number, self.scene, frame, targets)

    def echo(self, sample: Sample, receiver: str) -> np.ndarray:
        """The recorded echo at one receiver; see Source.echo."""
        name = f"echo-{receiver}"
        parts = self.arrays[name][sample.number].astype(np.float32)
        if not np.isfinite(parts).all():
            raise self._fault(name, sample.number, "has numbers that are not finite")
        return parts.view(np.complex64)[..., 0] * np.float32(
            np.sqrt(self.scene.propagation.noise_power_w)
        )

    def _array(self, name: str, dtype: str, shape: tuple[int | None, ...]) -> np.ndarray:
        """One file; None in a shape stands for any size."""
        path = self.folder / f"{name}.npy"
        try:
            array = np.load(path, mmap_mode="r")
        except FileNotFoundError:
            raise ValueError(f"{path}: no such file; {ANEW}") from None
        except (OSError, EOFError, OverflowError, SyntaxError, TypeError, ValueError):
            raise ValueError(f"{path}: is no .npy file of numbers, or cut off; {ANEW}") from None
        sizes = getattr(array, "shape", ())
        fits = len(sizes) == len(shape) and all(
            wanted in (None, size) for size, wanted in zip(sizes, shape)
        )
        if not fits or array.dtype != np.dtype(dtype):
            found = f"{array.dtype} {' x '.join(map(str, sizes))}" if sizes else "no array"
            wanted = " x ".join("any" if size is None else str(size) for size in shape)
            raise ValueError(f"{path}: is {found}, must be {dtype} {wanted}; {ANEW}")
        return array

    def _fault(self, name: str, number: int, text: str) -> ValueError:
        return ValueError(f"{self.folder / name}.npy: sample {number} {text}")


def write_samples(samples: DrawnSamples, folder: Path, count: int) -> Iterator[int]:
    """Write samples 0 .. count - 1 into a new folder; yields how many are there.

    Raises OutputError: the folder cannot be made, or its disk has no room for all samples.
    """
    check_new_folder(folder)
    first = _arrays(samples, 0)
    folder.mkdir(parents=True)
    files = _new_files(folder, first, count)
    for number in range(count):
        for name, value in (_arrays(samples, number) if number else first).items():
            files[name][number] = value
        yield number + 1
    description = {
        "format": FORMAT,
        "samples": count,
        "variety": samples.ranges.stored_text,
        "scene": scene_facts(samples.scene),
    }
    write_file(folder / DESCRIPTION, json.dumps(description, indent=1).encode())


def _new_files(folder: Path, first: Mapping[str, np.ndarray], count: int) -> dict[str, np.ndarray]:
    """A file for each array, whose room is taken at once: a disk that fills up later would end the
    process.

    Raises OutputError without a trace in the folder's place: there is no room for count samples
    like the first.
    """
    needed = count * sum(value.nbytes for value in first.values())
    free = shutil.disk_usage(folder).free
    files: dict[str, np.ndarray] = {}
    try:
        if needed > free:
            raise OSError(
                errno.ENOSPC, f"{needed * 1e-9:.1f} GB are needed, {free * 1e-9:.1f} GB are free"
            )
        for name, value in first.items():
            path = folder / f"{name}.npy"
            files[name] = np.lib.format.open_memmap(path, "w+", value.dtype, (count, *value.shape))
            with path.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    except OSError as error:
        for name in first:
            (folder / f"{name}.npy").unlink(missing_ok=True)
        folder.rmdir()
        raise OutputError(
            f"cannot write {folder}: {error.strerror}; make room, or draw fewer --samples"
        ) from None
    return files


def _arrays(samples: DrawnSamples, number: int) -> dict[str, np.ndarray]:
    sample, ranges, draw = samples.sample(number), samples.ranges, samples.scene.draw
    targets = np.full(
        (ranges.targets[1] if ranges.targets else draw.num_targets, 2, 3), np.nan, np.float32
    )
    for row, target in zip(targets, sample.targets):
        row[0], row[1] = target.position_m, target.velocity_mps
    arrays: dict[str, np.ndarray] = {
        "targets": targets,
        "downlink": np.frombuffer(pack_downlink(sample.frame), np.uint8),
    }
    scale = np.float32(samples.scene.propagation.noise_power_w**-0.5)
    for site in samples.scene.receivers:
        echo = np.ascontiguousarray(samples.echo(sample, site.name) * scale)
        arrays[f"echo-{site.name}"] = (
            echo.view(np.float32).reshape(*echo.shape, 2).astype(np.float16)
        )
    return arrays
