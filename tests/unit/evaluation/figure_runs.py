"""Few runs of one place of a figure."""

from cooperative_isac.evaluation.deep_cooperation.command import EXPERIMENTS
from cooperative_isac.evaluation.deep_cooperation.experiment import (
    PointResult,
    run_point,
    summarize,
)


def measured(name: str, place: int, num_runs: int = 40) -> PointResult:
    """Averages at one place of an experiment, by its name."""
    experiment = EXPERIMENTS[name]()
    return summarize(experiment, place, run_point(experiment, place, range(num_runs), seed=5))
