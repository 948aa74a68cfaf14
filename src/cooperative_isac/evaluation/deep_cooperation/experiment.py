"""Monte Carlo experiments: curves of root mean squared errors over one axis, with their bounds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

# Errors of one run, or root bounds at one place of the axis, by curve and quantity.
Errors = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Experiment:
    """One figure.

    name: of the figure, as in `--fig`
    title: headline of the picture
    axis: label of the axis, with its unit
    values: places along the axis
    quantities: label with unit of each quantity that is measured, one panel each
    trial: errors of one run at a place, by curve and quantity; a function of a module, so that
        other processes can call it
    bounds: root Cramer-Rao bound at a place, by curve and quantity
    """

    name: str
    title: str
    axis: str
    values: tuple[float, ...]
    quantities: Mapping[str, str]
    trial: Callable[[float, np.random.Generator], Errors]
    bounds: Callable[[float], Errors]


@dataclass(frozen=True)
class PointResult:
    """Root mean squared errors at one place of the axis.

    value: place along the axis
    rmse: by curve and quantity
    median: median absolute error by curve and quantity, which outliers do not move
    bound: root Cramer-Rao bound by curve and quantity
    num_runs: Monte Carlo runs
    """

    value: float
    rmse: Errors
    median: Errors
    bound: Errors
    num_runs: int


def run_point(experiment: Experiment, index: int, runs: Sequence[int], seed: int) -> list[Errors]:
    """Errors of runs at one place; each run is a function of the seed, the place and its number.

    experiment: the figure
    index: place along the axis
    runs: numbers of the runs
    seed: random seed of the figure
    """
    value = experiment.values[index]
    return [
        experiment.trial(value, np.random.default_rng([seed, index, number])) for number in runs
    ]


def summarize(experiment: Experiment, index: int, errors: Sequence[Errors]) -> PointResult:
    """Root mean squared and median errors of the runs at one place, beside the bound.

    experiment: the figure
    index: place along the axis
    errors: of each run
    """
    value = experiment.values[index]
    rmse: dict[str, dict[str, float]] = {}
    median: dict[str, dict[str, float]] = {}
    for curve, quantities in errors[0].items():
        rmse[curve] = {}
        median[curve] = {}
        for quantity in quantities:
            samples = np.array([run[curve][quantity] for run in errors])
            rmse[curve][quantity] = float(np.sqrt(np.mean(samples**2)))
            median[curve][quantity] = float(np.median(np.abs(samples)))
    return PointResult(value, rmse, median, experiment.bounds(value), len(errors))
