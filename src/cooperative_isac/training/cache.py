"""Observations on disk in float16: what is slow to compute is computed once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cooperative_isac.output.files import check_folder, write_file

DESCRIPTION = "cache.json"
REMEDY = "remove the cache or name another folder"


class Cache:
    """Examples by number in memory-mapped files, one per field; many processes may read and write
    it at once.

    key: says what is cached; a folder with another key is refused. fields: name -> (shape, dtype).
    """

    def __init__(
        self, folder: Path, key: str, size: int, fields: Mapping[str, tuple[tuple[int, ...], str]]
    ):
        self.folder, self.size = folder, size
        listed = {name: [list(shape), dtype] for name, (shape, dtype) in sorted(fields.items())}
        description = {"key": key, "size": size, "fields": listed}
        self._check(description)
        arrays = {**fields, "there": ((), "bool")}
        self._arrays = {
            name: self._open(name, (size, *shape), dtype) for name, (shape, dtype) in arrays.items()
        }
        write_file(folder / DESCRIPTION, json.dumps(description, indent=1).encode())

    def read(self, number: int) -> dict[str, np.ndarray] | None:
        """The example of a number, None where it is not there yet."""
        if not self._arrays["there"][number]:
            return None
        return {
            name: np.array(array[number]) for name, array in self._arrays.items() if name != "there"
        }

    def write(self, number: int, example: Mapping[str, np.ndarray]) -> None:
        """Keep an example."""
        for name, value in example.items():
            self._arrays[name][number] = value
        self._arrays["there"][number] = True

    @property
    def num_there(self) -> int:
        """How many examples are there."""
        return int(self._arrays["there"].sum())

    def _check(self, description: dict) -> None:
        check_folder(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / DESCRIPTION
        try:
            found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else description
        except (OSError, ValueError, RecursionError):
            raise ValueError(f"{path}: is no description of a cache; {REMEDY}") from None
        if found != description:
            raise ValueError(
                f"cache {self.folder} holds samples of another scene, network input, sample "
                f"ranges, number or held encoders; {REMEDY}"
            )

    def _open(self, name: str, shape: tuple[int, ...], dtype: str) -> np.ndarray:
        path = self.folder / f"{name.replace('/', '-')}.npy"
        if path.is_file():
            try:
                array = np.lib.format.open_memmap(path, "r+")
            except (OSError, EOFError, OverflowError, SyntaxError, TypeError, ValueError):
                raise ValueError(
                    f"{path}: is no .npy file of numbers, or cut off; {REMEDY}"
                ) from None
            if array.shape != shape or array.dtype != np.dtype(dtype):
                raise ValueError(
                    f"{path}: is not of the type and shape that the cache has; {REMEDY}"
                )
            return array
        return np.lib.format.open_memmap(path, "w+", np.dtype(dtype), shape)


def cached_fields(example: Mapping[str, np.ndarray]) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shapes and types of an example in a cache: float16, and labels as they are."""
    halved = {name for name in example if name == "knowledge" or name.startswith("observation/")}
    return {
        name: (value.shape, "float16" if name in halved else value.dtype.str)
        for name, value in example.items()
    }
