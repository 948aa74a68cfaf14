"""Measured points on disk: a figure that was interrupted goes on, one that is there is drawn only."""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import Callable, Sequence

from cooperative_isac.evaluation.command import power_result, scene_power_dbm
from cooperative_isac.evaluation.workers import measure_frames
from cooperative_isac.evaluation.paper.trained import weights_digest
from cooperative_isac.scene.model import Scene

CRLB = "crlb"


class PointStore:
    """Figures of schemes in scenes, a file for each scene, number of frames and seed."""

    def __init__(self, folder: Path, num_frames: int, seed: int, num_workers: int):
        self.folder, self.num_frames, self.seed, self.num_workers = folder, num_frames, seed, num_workers
        folder.mkdir(parents=True, exist_ok=True)

    def figures(self, scene: Scene, schemes: Sequence[str], on_frame: Callable[[], None]) -> dict[str, dict]:
        """Figures by scheme, and those of the bound under 'crlb'; what is missing is measured now."""
        path = self._path(scene)
        known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        missing = [name for name in schemes if _key(scene, name) not in known]
        if missing or CRLB not in known:
            known |= self._measured(scene, missing, on_frame)
            temporary = path.with_suffix(".tmp")
            temporary.write_text(json.dumps(known, indent=1), encoding="utf-8")
            os.replace(temporary, path)
        return {CRLB: known[CRLB], **{name: known[_key(scene, name)] for name in schemes}}

    def num_missing(self, scene: Scene, schemes: Sequence[str]) -> int:
        """Frames that figures would have to measure."""
        path = self._path(scene)
        known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        return 0 if {CRLB, *(_key(scene, name) for name in schemes)} <= known.keys() else self.num_frames

    def _measured(self, scene: Scene, schemes: Sequence[str], on_frame: Callable[[], None]) -> dict[str, dict]:
        power_dbm, samples = scene_power_dbm(scene), []
        for sample in measure_frames(replace(scene, seed=self.seed), schemes, [power_dbm], self.num_frames,
                                     self.num_workers):
            samples.append(sample)
            on_frame()
        result = power_result(power_dbm, schemes, samples)
        measured = {_key(scene, name): asdict(result.schemes[name]) for name in schemes}
        return _finite({CRLB: asdict(result.bound), **measured})

    def _path(self, scene: Scene) -> Path:
        return self.folder / f"{scene.name}-{scene.fingerprint}-{self.num_frames}-{self.seed}.json"


def _key(scene: Scene, scheme: str) -> str:
    """A scheme's name, with a digest of its weights: other weights are other points."""
    digest = weights_digest(scene, scheme)
    return f"{scheme} {digest}" if digest else scheme


def _finite(figures: dict[str, dict]) -> dict[str, dict]:
    return {name: {key: value if math.isfinite(value) else None for key, value in one.items()}
            for name, one in figures.items()}
