"""Folder of a training run: its description, curves, checkpoint and best weights so far."""

from __future__ import annotations

import csv
import json
import pickle
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch

from cooperative_isac.learned.weights import WEIGHTS_FILE
from cooperative_isac.output.files import OutputError, check_folder
from cooperative_isac.scene.file.errors import quoted


class RunFolder:
    """Files of a run; each is replaced as a whole, so that a killed run leaves no partial file."""

    def __init__(self, path: Path):
        self.path = path
        check_folder(path)
        path.mkdir(parents=True, exist_ok=True)

    @property
    def weights(self) -> Path:
        """File of the best weights so far."""
        return self.path / WEIGHTS_FILE

    def describe(self, description: Mapping) -> None:
        """Write the description of the run; ValueError where the folder has another run."""
        path = self.path / "run.json"
        text = json.dumps(description, indent=2)
        if path.is_file() and path.read_text(encoding="utf-8", errors="replace") != text:
            raise ValueError(
                f"{self.path} holds a run with other settings "
                f"({_differences(path, description)}); name another folder with --out, or repeat "
                "the command that began this one to resume it"
            )
        self.replace("run.json", lambda temporary: temporary.write_text(text, encoding="utf-8"))

    def description(self) -> dict:
        """The description of the run."""
        return json.loads((self.path / "run.json").read_text(encoding="utf-8"))

    def write_curves(self, rows: Sequence[Mapping[str, float]]) -> None:
        """Write the curves, a line for each epoch."""

        def write(temporary: Path) -> None:
            with temporary.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)

        self.replace("curves.csv", write)

    def save(self, checkpoint: Mapping) -> None:
        """Write a checkpoint."""
        self.replace("checkpoint.pt", lambda temporary: torch.save(dict(checkpoint), temporary))

    def load(self) -> dict | None:
        """The checkpoint, None at the beginning; ValueError where it is damaged."""
        path = self.checkpoint
        if not path.is_file():
            return None
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except (
            OSError,
            EOFError,
            LookupError,
            RuntimeError,
            TypeError,
            ValueError,
            pickle.UnpicklingError,
        ):
            raise self.damaged_checkpoint() from None
        if not isinstance(state, dict):
            raise self.damaged_checkpoint()
        return state

    @property
    def checkpoint(self) -> Path:
        """File of the state from which training continues."""
        return self.path / "checkpoint.pt"

    def damaged_checkpoint(self) -> ValueError:
        """The error of a checkpoint from which this run cannot continue."""
        return ValueError(
            f"{self.checkpoint}: is no checkpoint of this run, or damaged; remove it to train "
            "from the beginning, or name another folder with --out"
        )

    def replace(self, name: str, write: Callable[[Path], object]) -> None:
        """Write a file under a temporary name, then move it to its place."""
        temporary = self.path / f".{name}"
        try:
            write(temporary)
            temporary.replace(self.path / name)
        except (OSError, RuntimeError) as error:
            # torch.save raises RuntimeError on a full disk.
            temporary.unlink(missing_ok=True)
            reason = getattr(error, "strerror", None) or "is the disk full?"
            raise OutputError(
                f"cannot write {self.path / name}: {reason}; make room, or name another folder "
                "with --out"
            ) from None


def _differences(path: Path, description: Mapping) -> str:
    """The first differences between a stored description and another one, in one phrase."""
    try:
        before = _flat(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, RecursionError):
        return f"{path.name} cannot be read"
    now = _flat(json.loads(json.dumps(description)))
    all_names = sorted(before.keys() | now.keys())
    names = [name for name in all_names if before.get(name) != now.get(name)]
    return ", ".join(
        f"{quoted(name)}: {quoted(before.get(name))} there, {quoted(now.get(name))} now"
        for name in names[:3]
    )


def _flat(data, prefix: str = "") -> dict:
    """Values of nested mappings by their dotted names."""
    if not isinstance(data, dict):
        return {prefix.rstrip("."): data}
    return {
        name: value
        for key, entry in data.items()
        for name, value in _flat(entry, f"{prefix}{key}.").items()
    }
