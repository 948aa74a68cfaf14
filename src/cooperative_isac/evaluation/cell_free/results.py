"""Store of measured points on disk, so that an interrupted figure continues where it ended."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from pydantic import FiniteFloat, TypeAdapter

from cooperative_isac.evaluation.cell_free.trained import weights_digest
from cooperative_isac.evaluation.command import power_result, scene_power_dbm
from cooperative_isac.evaluation.figures import SchemeFigures
from cooperative_isac.evaluation.summary_file import finite_or_none
from cooperative_isac.evaluation.workers import measure_frames
from cooperative_isac.output.files import check_folder, write_file
from cooperative_isac.scene.model import Scene

# Name under which the bound is stored among the schemes.
CRLB = "crlb"
# Content of a file: figures by name of the scheme; None for a figure without samples.
POINTS = TypeAdapter(dict[str, dict[str, FiniteFloat | None]])


class PointStore:
    """Figures of schemes in scenes, in a file for each scene, number of frames and seed.

    folder: folder of the files
    num_frames: number of random frames at each point
    seed: seed of the frames
    num_workers: number of worker processes
    """

    def __init__(self, folder: Path, num_frames: int, seed: int, num_workers: int):
        self.folder = folder
        self.num_frames = num_frames
        self.seed = seed
        self.num_workers = num_workers
        check_folder(folder)
        folder.mkdir(parents=True, exist_ok=True)

    def figures(
        self, scene: Scene, schemes: Sequence[str], on_frame: Callable[[], None]
    ) -> dict[str, dict]:
        """Figures of schemes and of the bound, from the file, or measured now and stored.

        on_frame: called after each frame that is measured

        Returns figures by name of the scheme, and those of the bound under CRLB.
        Raises ValueError: the file of the scene is damaged
        """
        path = self._path(scene)
        stored = self._stored(path)
        missing = [name for name in schemes if _key(scene, name) not in stored]
        if missing or CRLB not in stored:
            stored |= self._measured(scene, missing, on_frame)
            write_file(path, json.dumps(stored, indent=1).encode())

        figures = {CRLB: stored[CRLB]}
        figures |= {name: stored[_key(scene, name)] for name in schemes}
        return figures

    def num_missing(self, scene: Scene, schemes: Sequence[str]) -> int:
        """Number of frames that PointStore.figures would have to measure."""
        stored = self._stored(self._path(scene))
        required = {CRLB, *(_key(scene, name) for name in schemes)}
        return 0 if required <= stored.keys() else self.num_frames

    def _measured(
        self, scene: Scene, schemes: Sequence[str], on_frame: Callable[[], None]
    ) -> dict[str, dict]:
        """Measure schemes and the bound on random frames. Returns figures by their keys."""
        power_dbm = scene_power_dbm(scene)
        seeded = replace(scene, seed=self.seed)
        samples = []
        for sample in measure_frames(
            seeded, schemes, [power_dbm], self.num_frames, self.num_workers
        ):
            samples.append(sample)
            on_frame()

        result = power_result(power_dbm, schemes, samples)
        figures = {CRLB: asdict(result.bound)}
        figures |= {_key(scene, name): _paper_figures(result.schemes[name]) for name in schemes}
        return finite_or_none(figures)

    def _stored(self, path: Path) -> dict[str, dict]:
        """Figures in a file by their keys; empty without a file. ValueError if it is damaged."""
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


def _paper_figures(figures: SchemeFigures) -> dict:
    """The figures without the sensing quality, which the paper does not have."""
    values = asdict(figures)
    del values["quality"]
    return values


def _key(scene: Scene, scheme: str) -> str:
    """Key of a scheme in a file: its name, and a digest of its weights if it has any."""
    digest = weights_digest(scene, scheme)
    return f"{scheme} {digest}" if digest else scheme
