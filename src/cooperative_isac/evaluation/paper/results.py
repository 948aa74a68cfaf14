"""Measured points on disk: a figure that was interrupted goes on, one that is there is drawn
only.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from pydantic import FiniteFloat, TypeAdapter

from cooperative_isac.evaluation.command import power_result, scene_power_dbm
from cooperative_isac.evaluation.paper.trained import weights_digest
from cooperative_isac.evaluation.workers import measure_frames
from cooperative_isac.output.files import check_folder, write_file
from cooperative_isac.scene.model import Scene

CRLB = "crlb"
# Figures by scheme; None: there is none.
POINTS = TypeAdapter(dict[str, dict[str, FiniteFloat | None]])


class PointStore:
    """Figures of schemes in scenes, a file for each scene, number of frames and seed."""

    def __init__(self, folder: Path, num_frames: int, seed: int, num_workers: int):
        self.folder, self.num_frames, self.seed, self.num_workers = (
            folder,
            num_frames,
            seed,
            num_workers,
        )
        check_folder(folder)
        folder.mkdir(parents=True, exist_ok=True)

    def figures(
        self, scene: Scene, schemes: Sequence[str], on_frame: Callable[[], None]
    ) -> dict[str, dict]:
        """Figures by scheme, and those of the bound under 'crlb'; what is missing is measured
        now.
        """
        path = self._path(scene)
        known = self._known(path)
        missing = [name for name in schemes if _key(scene, name) not in known]
        if missing or CRLB not in known:
            known |= self._measured(scene, missing, on_frame)
            write_file(path, json.dumps(known, indent=1).encode())
        return {CRLB: known[CRLB], **{name: known[_key(scene, name)] for name in schemes}}

    def num_missing(self, scene: Scene, schemes: Sequence[str]) -> int:
        """Frames that figures would have to measure."""
        known = self._known(self._path(scene))
        return (
            0
            if {CRLB, *(_key(scene, name) for name in schemes)} <= known.keys()
            else self.num_frames
        )

    def _measured(
        self, scene: Scene, schemes: Sequence[str], on_frame: Callable[[], None]
    ) -> dict[str, dict]:
        power_dbm, samples = scene_power_dbm(scene), []
        for sample in measure_frames(
            replace(scene, seed=self.seed), schemes, [power_dbm], self.num_frames, self.num_workers
        ):
            samples.append(sample)
            on_frame()
        result = power_result(power_dbm, schemes, samples)
        measured = {_key(scene, name): asdict(result.schemes[name]) for name in schemes}
        return _finite({CRLB: asdict(result.bound), **measured})

    def _known(self, path: Path) -> dict[str, dict]:
        """The figures in a file, none where there is no file. ValueError for a file of something
        else.
        """
        if not path.is_file():
            return {}
        try:
            return POINTS.validate_json(path.read_bytes())
        except (OSError, ValueError):
            raise ValueError(
                f"{path}: holds no measured points, or is damaged; remove it to measure anew"
            ) from None

    def _path(self, scene: Scene) -> Path:
        return self.folder / f"{scene.name}-{scene.fingerprint}-{self.num_frames}-{self.seed}.json"


def _key(scene: Scene, scheme: str) -> str:
    """A scheme's name, with a digest of its weights: other weights are other points."""
    digest = weights_digest(scene, scheme)
    return f"{scheme} {digest}" if digest else scheme


def _finite(figures: dict[str, dict]) -> dict[str, dict]:
    return {
        name: {key: value if math.isfinite(value) else None for key, value in one.items()}
        for name, one in figures.items()
    }
