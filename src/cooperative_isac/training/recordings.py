"""Samples on disk: drawn ones, or recordings in the same files.

dataset.json            format, properties of the scene, number of samples
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
from cooperative_isac.learned.scene_facts import fact_differences, scene_facts
from cooperative_isac.output.files import OutputError, check_new_folder, write_file
from cooperative_isac.scene.file.errors import quoted
from cooperative_isac.scene.model import Scene, TargetClass, TargetState
from cooperative_isac.training.samples import DrawnSamples, Sample, Split

DATASET_FORMAT = "cooperative_isac dataset 1"
DATASET_FILE = "dataset.json"
# Share of the samples that is for training, as in CF section V.
TRAIN_SHARE = 0.8
# Remedy in error messages.
ANEW = "write the dataset anew"


class DatasetDescription(BaseModel):
    """Content of dataset.json; at least one sample is for training and one for validation."""

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
        """Content of dataset.json; ValueError where the samples are not of this scene."""
        # Read
        path = self.folder / DATASET_FILE
        if not path.is_file():
            raise ValueError(
                f"{self.folder} is no dataset: it has no {DATASET_FILE}; 'isac dataset' writes one"
            )
        try:
            description = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise ValueError(f"{path}: {quoted(error)}; {ANEW}") from None

        # Check the format.
        found = description.get("format") if isinstance(description, dict) else None
        if found != DATASET_FORMAT:
            raise ValueError(f"{path}: format '{quoted(found)}' is not '{DATASET_FORMAT}'; {ANEW}")
        try:
            DatasetDescription.model_validate(description)
        except ValidationError as error:
            fault = error.errors(include_url=False)[0]
            raise ValueError(
                f"{path}: {'.'.join(map(str, fault['loc']))}: {quoted(fault['msg'])}; {ANEW}"
            ) from None

        # Check the scene.
        differences = fact_differences(description["scene"], scene_facts(self.scene))
        if differences:
            raise ValueError(
                f"dataset {self.folder} is of another scene than '{self.scene.name}': "
                f"{'; '.join(differences[:4])}"
            )
        return description

    @cached_property
    def arrays(self) -> Mapping[str, np.ndarray]:
        """The arrays by file name, memory-mapped.

        Raises ValueError for a file that is missing, truncated or of another shape.
        """
        # Dtype and shape of each file, without the number of samples.
        grid = self.scene.grid
        shapes: dict[str, tuple[str, tuple[int | None, ...]]] = {
            "targets": ("float32", (None, 2, 3)),
            "downlink": ("uint8", (None,)),
        }
        for site in self.scene.receivers:
            shape = (site.num_ant, grid.num_subcarriers, grid.num_symbols, 2)
            shapes[f"echo-{site.name}"] = ("float16", shape)

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
        """The frame and the targets of one sample; see Source.sample."""
        # Targets, each a row of location and velocity; rows of NaN have none.
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

        # Frame
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

        # Complex numbers of the pairs in the last axis, from units of the noise to sqrt(W).
        noise_amplitude = np.float32(np.sqrt(self.scene.propagation.noise_power_w))
        return parts.view(np.complex64)[..., 0] * noise_amplitude

    def _array(self, name: str, dtype: str, shape: tuple[int | None, ...]) -> np.ndarray:
        """One file; None in a shape is any size."""
        # Read
        path = self.folder / f"{name}.npy"
        try:
            array = np.load(path, mmap_mode="r")
        except FileNotFoundError:
            raise ValueError(f"{path}: no such file; {ANEW}") from None
        except (OSError, EOFError, OverflowError, SyntaxError, TypeError, ValueError):
            raise ValueError(f"{path}: is no .npy file of numbers, or cut off; {ANEW}") from None

        # Check dtype and shape.
        sizes = getattr(array, "shape", ())
        has_shape = len(sizes) == len(shape) and all(
            expected in (None, size) for size, expected in zip(sizes, shape)
        )
        if not has_shape or array.dtype != np.dtype(dtype):
            found = f"{array.dtype} {' x '.join(map(str, sizes))}" if sizes else "no array"
            expected = " x ".join("any" if size is None else str(size) for size in shape)
            raise ValueError(f"{path}: is {found}, must be {dtype} {expected}; {ANEW}")
        return array

    def _fault(self, name: str, number: int, text: str) -> ValueError:
        """The error of one sample in a file."""
        return ValueError(f"{self.folder / name}.npy: sample {number} {text}")


def write_samples(samples: DrawnSamples, folder: Path, count: int) -> Iterator[int]:
    """Write samples 0 .. count - 1 into a new folder; yields the number written so far.

    Raises OutputError where the folder cannot be made, or its disk has no room for all samples.
    """
    # Files of the full size.
    check_new_folder(folder)
    first = _arrays(samples, 0)
    folder.mkdir(parents=True)
    files = _new_files(folder, first, count)

    # Samples
    for number in range(count):
        arrays = _arrays(samples, number) if number else first
        for name, value in arrays.items():
            files[name][number] = value
        yield number + 1

    # The description comes last: a folder without it is no dataset.
    description = {
        "format": DATASET_FORMAT,
        "samples": count,
        "variety": samples.ranges.stored_text,
        "scene": scene_facts(samples.scene),
    }
    write_file(folder / DATASET_FILE, json.dumps(description, indent=1).encode())


def _new_files(folder: Path, first: Mapping[str, np.ndarray], count: int) -> dict[str, np.ndarray]:
    """A memory-mapped file for each array of the first sample, for count samples.

    Their disk space is allocated at once: a write to a mapped file would end the process on a full
    disk.

    Raises OutputError where there is no room; the folder is then removed.
    """
    needed_bytes = count * sum(value.nbytes for value in first.values())
    free_bytes = shutil.disk_usage(folder).free
    files: dict[str, np.ndarray] = {}
    try:
        # Check the room first, as filling the disk takes long.
        if needed_bytes > free_bytes:
            raise OSError(
                errno.ENOSPC,
                f"{needed_bytes * 1e-9:.1f} GB are needed, {free_bytes * 1e-9:.1f} GB are free",
            )

        # Allocate.
        for name, value in first.items():
            path = folder / f"{name}.npy"
            files[name] = np.lib.format.open_memmap(path, "w+", value.dtype, (count, *value.shape))
            with path.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    except OSError as error:
        # Leave nothing behind.
        for name in first:
            (folder / f"{name}.npy").unlink(missing_ok=True)
        folder.rmdir()
        raise OutputError(
            f"cannot write {folder}: {error.strerror}; make room, or draw fewer --samples"
        ) from None
    return files


def _arrays(samples: DrawnSamples, number: int) -> dict[str, np.ndarray]:
    """The arrays of one sample by file name."""
    sample = samples.sample(number)

    # Targets, with rows of NaN up to the largest number.
    limits = samples.ranges.targets
    max_targets = limits[1] if limits else samples.scene.draw.num_targets
    targets = np.full((max_targets, 2, 3), np.nan, np.float32)
    for row, target in zip(targets, sample.targets):
        row[0] = target.position_m
        row[1] = target.velocity_mps
    arrays: dict[str, np.ndarray] = {
        "targets": targets,
        "downlink": np.frombuffer(pack_downlink(sample.frame), np.uint8),
    }

    # Echoes in units of the noise, real and imaginary part in an axis of their own.
    scale = np.float32(samples.scene.propagation.noise_power_w**-0.5)
    for site in samples.scene.receivers:
        echo = np.ascontiguousarray(samples.echo(sample, site.name) * scale)
        parts = echo.view(np.float32).reshape(*echo.shape, 2)
        arrays[f"echo-{site.name}"] = parts.astype(np.float16)
    return arrays
