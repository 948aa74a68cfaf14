"""Cache of examples on disk, inputs in float16, so that each is computed only once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cooperative_isac.output.files import check_folder, write_file

CACHE_FILE = "cache.json"
# Name of the side information in caches.
SIDE_INFORMATION = "knowledge"
# Name of the array that is True for the examples that are in a cache.
IS_CACHED = "there"
REMEDY = "remove the cache or name another folder"


class Cache:
    """Examples by number in memory-mapped files, one for each field.

    Several processes may read and write it at once.

    key: name of what the examples depend on; a folder with another key is refused
    size: number of examples
    fields: shape and dtype of each field of an example, by name
    """

    def __init__(
        self, folder: Path, key: str, size: int, fields: Mapping[str, tuple[tuple[int, ...], str]]
    ):
        self.folder = folder
        self.size = size

        # The folder must be new, or have the same description.
        listed = {name: [list(shape), dtype] for name, (shape, dtype) in sorted(fields.items())}
        description = {"key": key, "size": size, "fields": listed}
        self._check(description)

        # One file for each field, and one for what is there.
        arrays = {**fields, IS_CACHED: ((), "bool")}
        self._arrays = {
            name: self._open(name, (size, *shape), dtype) for name, (shape, dtype) in arrays.items()
        }
        write_file(folder / CACHE_FILE, json.dumps(description, indent=1).encode())

    def read(self, number: int) -> dict[str, np.ndarray] | None:
        """The example of a number, None where it is not in the cache yet."""
        if not self._arrays[IS_CACHED][number]:
            return None
        return {
            name: np.array(array[number])
            for name, array in self._arrays.items()
            if name != IS_CACHED
        }

    def write(self, number: int, example: Mapping[str, np.ndarray]) -> None:
        """Write an example."""
        for name, value in example.items():
            self._arrays[name][number] = value

        # Last, so that no other process reads a part of it.
        self._arrays[IS_CACHED][number] = True

    @property
    def num_cached(self) -> int:
        """Number of examples in the cache."""
        return int(self._arrays[IS_CACHED].sum())

    def _check(self, description: dict) -> None:
        """Raise ValueError where the folder is not writable, or has a cache of other samples.

        description: of the samples to be cached
        """
        check_folder(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / CACHE_FILE
        if not path.is_file():
            return

        # Compare with the description of the existing cache.
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            raise ValueError(f"{path}: is no description of a cache; {REMEDY}") from None
        if found != description:
            raise ValueError(
                f"cache {self.folder} holds samples of another scene, network input, sample "
                f"ranges, number or held encoders; {REMEDY}"
            )

    def _open(self, name: str, shape: tuple[int, ...], dtype: str) -> np.ndarray:
        """The array of one file, which is made where there is none."""
        path = self.folder / f"{name.replace('/', '-')}.npy"
        if not path.is_file():
            return np.lib.format.open_memmap(path, "w+", np.dtype(dtype), shape)

        # Read an existing file.
        try:
            array = np.lib.format.open_memmap(path, "r+")
        except (OSError, EOFError, OverflowError, SyntaxError, TypeError, ValueError):
            raise ValueError(f"{path}: is no .npy file of numbers, or cut off; {REMEDY}") from None
        if array.shape != shape or array.dtype != np.dtype(dtype):
            raise ValueError(f"{path}: is not of the type and shape that the cache has; {REMEDY}")
        return array


def cached_fields(example: Mapping[str, np.ndarray]) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shapes and dtypes of an example in a cache: inputs in float16, labels as they are."""
    fields: dict[str, tuple[tuple[int, ...], str]] = {}
    for name, value in example.items():
        is_input = name == SIDE_INFORMATION or name.startswith("observation/")
        fields[name] = (value.shape, "float16" if is_input else value.dtype.str)
    return fields
