"""Frames of a run that were not compared, as odometry of their targets did not arrive in time."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping
from typing import Any

from cooperative_isac.evaluation.run_record import FRAMES_KEPT
from cooperative_isac.scene.model import Scene

# Share of a run's frames that its figures must be of; below it the report names the cause.
LEAST_COMPARED_SHARE = 0.9


class TruthLog:
    """Frames whose truth is missing, and the targets that it is missing of.

    A run of any length takes the same memory.
    """

    def __init__(self):
        self._numbers: deque[int] = deque(maxlen=FRAMES_KEPT)
        self._count = 0
        self._late_s: dict[str, float] = {}

    def add(self, number: int, late_s: Mapping[str, float]) -> None:
        """Count a frame that is not compared.

        late_s: ages of the latest odometry at the frame, by target, s
        """
        self._numbers.append(number)
        self._count += 1
        for name, age_s in late_s.items():
            self._late_s[name] = max(age_s, self._late_s.get(name, 0.0))

    @property
    def numbers(self) -> Collection[int]:
        """Numbers of the latest frames that were not compared."""
        return frozenset(self._numbers)

    def summary(self) -> dict[str, Any]:
        """Number of frames, and the largest age of each target's odometry in them, s."""
        late_s = {name: round(age_s, 2) for name, age_s in sorted(self._late_s.items())}
        return {"frames_without_truth": self._count, "odometry_late_s": late_s}

    def state(self) -> dict[str, Any]:
        """Return the whole state, in types that JSON can hold."""
        return {"numbers": list(self._numbers), "count": self._count, "late_s": self._late_s}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a state."""
        self._numbers.extend(state["numbers"])
        self._count = int(state["count"])
        self._late_s = dict(state["late_s"])


def late_truth_s(
    scene: Scene, elapsed_s: float, overdue_s: Mapping[str, float], compared: Collection[str]
) -> dict[str, float]:
    """Targets whose odometry a frame lacks, with the age of the latest, s.

    Targets of the scene whose motion has ended have none any more. Others count from the first
    frame with them on: a clock that is off from the start is a fault of that target alone.

    elapsed_s: from frame 0 to the frame, s
    overdue_s: ages of the latest odometry of targets that go on reporting, s
    compared: names of the targets in earlier frames
    """
    ended = {
        target.name
        for target in scene.targets
        if target.motion.start_s + target.motion.duration_s < elapsed_s
    }
    expected = {target.name for target in scene.targets} | set(compared)
    return {name: age_s for name, age_s in overdue_s.items() if name in expected - ended}


def missing_frames(summary: Mapping[str, Any]) -> str | None:
    """Number of frames that a run was not compared in, and the causes; None: they are few.

    summary: as the evaluator writes it; files of earlier versions lack some of its keys
    """
    frames = summary["frames"]
    compared = summary.get("frames_compared", frames)
    if compared >= LEAST_COMPARED_SHARE * frames:
        return None

    # Causes, the others being frames whose results were not complete.
    causes = []
    without_truth = summary.get("frames_without_truth", 0)
    if without_truth:
        late = [
            f"{name} up to {age_s:.3g} s"
            for name, age_s in summary.get("odometry_late_s", {}).items()
        ]
        causes.append(f"{without_truth} had no truth in time (odometry late: {', '.join(late)})")
    for key, words in (
        ("frames_skipped", "skipped"),
        ("frames_lost", "lost"),
        ("frames_unseen", "unseen by the evaluator"),
    ):
        if summary.get(key):
            causes.append(f"{summary[key]} {words}")
    reasons = f" ({'; '.join(causes)})" if causes else ""
    effect = f"accuracy and false tracks are of the other {compared} alone"
    if not compared:
        effect = "there are no figures of accuracy"
    return (
        f"{frames - compared} of {frames} frames{reasons}: {effect}; lower the rate, or run fewer "
        "programs beside it"
    )
