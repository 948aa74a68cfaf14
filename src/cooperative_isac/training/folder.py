"""The folder of a training run: its description, its curves, its checkpoint, the best weights so far."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import Callable, Mapping, Sequence

import torch


class RunFolder:
    """Files are replaced as a whole, so that a run that is killed leaves none half written."""

    def __init__(self, path: Path):
        self.path = path
        path.mkdir(parents=True, exist_ok=True)

    @property
    def weights(self) -> Path:
        """The best weights so far."""
        return self.path / "weights.safetensors"

    def describe(self, description: Mapping) -> None:
        """Keep what the run is. ValueError when the folder holds another run."""
        path = self.path / "run.json"
        text = json.dumps(description, indent=2)
        if path.is_file() and path.read_text(encoding="utf-8") != text:
            raise ValueError(
                f"{self.path} holds a run with other settings ({_differences(path, description)}); name "
                "another folder with --out, or repeat the command that began this one to resume it")
        self.replace("run.json", lambda temporary: temporary.write_text(text, encoding="utf-8"))

    def description(self) -> dict:
        """What describe kept."""
        return json.loads((self.path / "run.json").read_text(encoding="utf-8"))

    def write_curves(self, rows: Sequence[Mapping[str, float]]) -> None:
        """One line per epoch."""
        def write(temporary: Path) -> None:
            with temporary.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)
        self.replace("curves.csv", write)

    def save(self, checkpoint: Mapping) -> None:
        """Keep all that goes on with training."""
        self.replace("checkpoint.pt", lambda temporary: torch.save(dict(checkpoint), temporary))

    def load(self) -> dict | None:
        """The checkpoint, None at the beginning."""
        path = self.path / "checkpoint.pt"
        return torch.load(path, map_location="cpu", weights_only=True) if path.is_file() else None

    def replace(self, name: str, write: Callable[[Path], object]) -> None:
        """Write a file beside its place, then put it there."""
        temporary = self.path / f".{name}"
        write(temporary)
        os.replace(temporary, self.path / name)


def _differences(path: Path, description: Mapping) -> str:
    texts = path.read_text(encoding="utf-8"), json.dumps(description)
    before, now = (_flat(json.loads(text)) for text in texts)
    names = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    return ", ".join(f"{name}: {before.get(name)} there, {now.get(name)} now" for name in names[:3])


def _flat(data, prefix: str = "") -> dict:
    if not isinstance(data, dict):
        return {prefix.rstrip("."): data}
    return {
        name: value
        for key, entry in data.items()
        for name, value in _flat(entry, f"{prefix}{key}.").items()
    }
