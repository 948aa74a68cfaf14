"""The Python interface: what `import cooperative_isac as isac` offers.

Everything here keeps its name and meaning from version to version; the modules behind it may
change. Errors that a user can mend are ValueErrors (a SceneError for a scene file) or
SchemeFailures, with the sentences of the command `isac`.
"""

from __future__ import annotations

import html
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import StringIO
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from cooperative_isac.fronthaul.envelope import PacketError
from cooperative_isac.fusion.detection import Detection
from cooperative_isac.pipeline import Snapshot, frame_count, run_scheme
from cooperative_isac.scene.file.config import load_scene, scene_names
from cooperative_isac.scene.file.errors import SceneError
from cooperative_isac.scene.file.keys import LEAST_LEVEL_DB, MOST_LEVEL_DB
from cooperative_isac.scene.model import Scene, TargetClass, TargetState
from cooperative_isac.schemes.contract import Decoder, Encoder, Scheme
from cooperative_isac.schemes.registry import (
    check_names,
    check_synchronization,
    checked_class,
    make_scheme,
    scheme_names,
)
from cooperative_isac.tracking.track import Track, TrackStatus

# The modules of evaluation load slowly: a function imports what it needs.
if TYPE_CHECKING:
    from rich.console import Console

    from cooperative_isac.evaluation.command import PowerResult
    from cooperative_isac.evaluation.scene_picture import Picture
    from cooperative_isac.evaluation.sequence_command import SequenceResult

__all__ = [
    "Decoder",
    "Detection",
    "Encoder",
    "Evaluation",
    "PacketError",
    "Scene",
    "SceneError",
    "Scheme",
    "SequenceEvaluation",
    "Snapshot",
    "TargetClass",
    "TargetState",
    "Track",
    "TrackStatus",
    "evaluate",
    "evaluate_sequence",
    "load_scene",
    "make_scheme",
    "plot",
    "run",
    "scene_names",
    "scheme_names",
]

SceneLike: TypeAlias = Scene | str | Path


class _Result(ABC):
    """A result that is shown as the tables of `isac evaluate`, at a prompt and in a notebook."""

    @abstractmethod
    def _show(self, console: Console) -> None:
        """Print the tables."""

    def __str__(self) -> str:
        from cooperative_isac.output.console import UNBOUNDED, ReportConsole

        stream = StringIO()
        # In a notebook rich would display the text, and leave the stream empty.
        self._show(ReportConsole(file=stream, width=UNBOUNDED, force_jupyter=False))
        return "\n".join(line.rstrip() for line in stream.getvalue().strip().splitlines())

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation(_Result):
    """Accuracy and cost of schemes on independent random frames, beside the Cramer-Rao bound.

    scene: with the seed of the draws
    num_frames: frames drawn at each power
    powers: one result a transmit power, each with the figures of every scheme and of the bound
    """

    scene: Scene
    num_frames: int
    powers: tuple[PowerResult, ...]

    def to_dict(self) -> dict[str, Any]:
        """All figures as JSON can hold them, in the layout of `isac evaluate --json`."""
        from cooperative_isac.evaluation.command import results_dict

        return results_dict(self.scene, self.powers, self.num_frames, self.scene.seed)

    def rows(self) -> list[dict[str, Any]]:
        """A flat row for each power and scheme, as a table of figures takes them."""
        return _rows(self.powers)

    def _show(self, console: Console) -> None:
        from cooperative_isac.evaluation.command import show

        show(self.scene, self.powers, self.num_frames, self.scene.seed, console)


@dataclass(frozen=True, eq=False, repr=False)
class SequenceEvaluation(_Result):
    """Detections and tracks of schemes over consecutive frames.

    scene: with the seed of the run
    num_frames: consecutive frames at each power
    powers: one result a transmit power, each with the figures of every scheme
    """

    scene: Scene
    num_frames: int
    powers: tuple[SequenceResult, ...]

    def to_dict(self) -> dict[str, Any]:
        """All figures as JSON can hold them, in the layout of `isac evaluate --json`."""
        from cooperative_isac.evaluation.sequence_command import results_dict

        return results_dict(self.scene, self.powers, self.num_frames)

    def rows(self) -> list[dict[str, Any]]:
        """A flat row for each power and scheme, as a table of figures takes them."""
        return _rows(self.powers)

    def _show(self, console: Console) -> None:
        from cooperative_isac.evaluation.sequence_command import show

        show(self.scene, self.powers, self.num_frames, console)


def run(
    scene: SceneLike,
    frames: int | None = None,
    *,
    scheme: str | type[Scheme] | None = None,
    seed: int | None = None,
) -> Iterator[Snapshot]:
    """Run a scene in this process, from its targets' echoes to tracks, frame by frame.

    scene: a Scene, a scene file, or the name of a shipped scene
    frames: number of frames at the scene's update rate; None for all of a scene with a path file
    scheme: name of a sensing scheme, or a class derived from Scheme; by default the scene's
    seed: seed of everything that is drawn; by default the scene's
    Returns an iterator over the snapshots of the frames: truth, packets, detections and tracks.
    Raises ValueError: a wrong scene file, or a scheme that cannot work with the scene.
    """
    loaded = _loaded(scene, seed)
    _check_count(frames)
    return run_scheme(_made(scheme, loaded), frames)


def evaluate(
    scene: SceneLike,
    schemes: str | Sequence[str] | None = None,
    frames: int | None = None,
    seed: int | None = None,
    *,
    powers_dbm: float | Sequence[float] | None = None,
    workers: int | None = None,
    progress: bool = False,
) -> Evaluation:
    """Measure schemes on independent random frames, as `isac evaluate` does.

    scene: a Scene, a scene file, or the name of a shipped scene
    schemes: names of schemes, which all get the same frames; by default the scene's
    frames: frames to draw, by default 200
    seed: seed of all draws, by default 1
    powers_dbm: transmit powers, dBm; by default the scene's
    workers: processes that share the work, by default one a processor; the figures do not depend
    on it
    progress: show a progress bar
    Returns the figures of every scheme and power; see Evaluation.
    Raises ValueError: an argument is wrong.
    Raises SchemeFailure: a scheme failed, which is a RuntimeError.
    """
    # Slow to load: see the imports of this module.
    from cooperative_isac.evaluation.command import DRAWN_FRAMES, DRAWN_SEED, measure
    from cooperative_isac.evaluation.workers import num_processors

    # Arguments.
    loaded = _loaded(scene, DRAWN_SEED if seed is None else seed)
    if loaded.propagation.paths is not None:
        raise ValueError(
            f"the echoes of scene '{loaded.name}' come from a path file, whose frames are "
            "consecutive; use evaluate_sequence"
        )
    _check_count(frames)
    if workers is not None and workers < 1:
        raise ValueError(f"workers is {workers}; must be 1 or more")
    num_frames = DRAWN_FRAMES if frames is None else frames
    names = _scheme_list(schemes, loaded)
    powers = _powers(powers_dbm, loaded)

    # The frames at every power, shared by the workers.
    num_workers = workers or num_processors()
    with _progress(progress, loaded, len(powers) * num_frames) as on_frame:
        results = measure(loaded, names, powers, num_frames, num_workers, on_frame)
    return Evaluation(loaded, num_frames, tuple(results))


def evaluate_sequence(
    scene: SceneLike,
    schemes: str | Sequence[str] | None = None,
    frames: int | None = None,
    seed: int | None = None,
    *,
    powers_dbm: float | Sequence[float] | None = None,
    progress: bool = False,
) -> SequenceEvaluation:
    """Measure schemes and tracker on consecutive frames, as `isac evaluate --sequence` does.

    scene: a Scene, a scene file, or the name of a shipped scene
    schemes: names of schemes, which all get the same frames; by default the scene's
    frames: number of frames, at most those of the scene's path file; None for all of the file
    seed: seed of symbols, users and noise; by default the scene's
    powers_dbm: transmit powers, dBm; by default the scene's
    progress: show a progress bar
    Raises ValueError: an argument is wrong.
    Raises SchemeFailure: a scheme failed, which is a RuntimeError.
    """
    from cooperative_isac.evaluation.sequence_command import measure

    # Arguments.
    loaded = _loaded(scene, seed)
    _check_count(frames)
    num_frames = frame_count(loaded, frames)
    names = _scheme_list(schemes, loaded)
    powers = _powers(powers_dbm, loaded)

    # Frames.
    with _progress(progress, loaded, len(powers) * num_frames) as on_frame:
        results = measure(loaded, names, powers, num_frames, on_frame)
    return SequenceEvaluation(loaded, num_frames, tuple(results))


def plot(
    scene: SceneLike, snapshots: Iterable[Snapshot], save: str | Path | None = None
) -> Picture:
    """Draw a run: the scene from above with detections, tracks and truth, heights and errors.

    scene: the scene of the run
    snapshots: the run's frames, in their order
    save: file to write, in the format of its ending (png, pdf, svg)
    Returns a matplotlib Figure, which a notebook shows by itself; it is no figure of pyplot.
    Raises ValueError: there are no snapshots; OSError: the file cannot be written.
    """
    from cooperative_isac.evaluation.run_record import RunRecorder
    from cooperative_isac.evaluation.scene_picture import scene_picture

    # Arguments.
    loaded = _loaded(scene)
    if save is not None and not Path(save).parent.is_dir():
        raise FileNotFoundError(f"save is {save}; there is no folder {Path(save).parent}")

    # Frames.
    recorder = RunRecorder()
    for snapshot in snapshots:
        recorder.add(
            snapshot.number,
            round(snapshot.time_s * 1e9),
            snapshot.targets,
            snapshot.detections,
            snapshot.tracks,
            simulated=True,
        )
    record = recorder.record()
    if not len(record.frame_number):
        raise ValueError("snapshots has no frames; an iterator of run() can be used only once")

    # Figure.
    figure = scene_picture(loaded, record)
    if save is not None:
        figure.savefig(save, dpi=figure.dpi)
    return figure


def _loaded(scene: SceneLike, seed: int | None = None) -> Scene:
    """The scene, with another seed where one is given."""
    if not isinstance(scene, Scene | str | Path):
        kind = type(scene).__name__
        raise ValueError(f"scene is a {kind}; must be a Scene, a scene file, or a scene's name")
    loaded = scene if isinstance(scene, Scene) else load_scene(scene)
    if seed is None:
        return loaded
    if seed < 0:
        raise ValueError(f"seed is {seed}; must be 0 or more")
    return replace(loaded, seed=seed)


def _made(scheme: str | type[Scheme] | None, scene: Scene) -> Scheme:
    if isinstance(scheme, type):
        name = scheme.__name__.lower()
        own = checked_class(name, f"{scheme.__module__}:{scheme.__qualname__}", scheme)
        return own(own.arranged(scene), name)
    return make_scheme(scheme or scene.sensing.scheme, scene)


def _check_count(frames: int | None) -> None:
    if frames is None:
        return
    if not isinstance(frames, Integral):
        raise ValueError(f"frames is {frames!r}; must be a whole number")
    if frames < 1:
        raise ValueError(f"frames is {frames}; must be 1 or more")


def _scheme_list(schemes: str | Sequence[str] | None, scene: Scene) -> list[str]:
    """Names of schemes, each once."""
    chosen = scene.sensing.scheme if schemes is None else schemes
    names = [chosen] if isinstance(chosen, str) else list(dict.fromkeys(chosen))
    if not names:
        raise ValueError("schemes is empty; leave it out for the scene's scheme")
    check_names(names)
    check_synchronization(names, scene)
    return names


def _powers(powers_dbm: float | Sequence[float] | None, scene: Scene) -> list[float]:
    """Transmit powers, each once."""
    from cooperative_isac.evaluation.command import scene_power_dbm

    if powers_dbm is None:
        return [scene_power_dbm(scene)]
    several = powers_dbm if isinstance(powers_dbm, Sequence) else [powers_dbm]
    powers = list(dict.fromkeys(map(float, several)))
    if not powers:
        raise ValueError("powers_dbm is empty; leave it out for the scene's power")
    for power in powers:
        if not LEAST_LEVEL_DB <= power <= MOST_LEVEL_DB:
            raise ValueError(
                f"powers_dbm has {power:g}; must be within {LEAST_LEVEL_DB:g} and {MOST_LEVEL_DB:g}"
            )
    return powers


@contextmanager
def _progress(is_shown: bool, scene: Scene, num_frames: int) -> Generator[Callable[[], None]]:
    """A function to call after each frame, which moves a progress bar where one is shown."""
    from cooperative_isac.evaluation.command import frame_progress

    if not is_shown:
        yield lambda: None
        return
    with frame_progress(scene, num_frames) as on_frame:
        yield on_frame


def _rows(powers: Sequence[PowerResult] | Sequence[SequenceResult]) -> list[dict[str, Any]]:
    from cooperative_isac.evaluation.tables import figures_dict

    rows = []
    for result in powers:
        for name, figures in result.schemes.items():
            values = figures_dict(figures)
            quality = values.pop("quality")
            rows.append({"power_dbm": result.power_dbm, "scheme": name, **values, **quality})
    return rows
