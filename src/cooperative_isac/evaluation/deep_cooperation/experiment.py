"""Monte Carlo experiments: curves of errors over one axis, with their bounds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

# Errors of one run, or root bounds at one place of the axis, by curve and quantity.
Errors = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Quantity:
    """Measured quantity, one panel of the picture.

    label: with its unit
    average: over the runs, "rms" of errors or "mean" of shares and levels
    logarithmic: with a logarithmic axis
    limits: ends of that axis; None: those of the curves
    """

    label: str
    average: str = "rms"
    logarithmic: bool = True
    limits: tuple[float, float] | None = None


@dataclass(frozen=True)
class Experiment:
    """One figure.

    name: of the figure, as in `--fig`
    title: headline of the picture
    axis: label of the axis, with its unit
    values: places along the axis
    quantities: what is measured, by name
    trial: errors of one run at a place, by curve and quantity; a function of a module, so that
        other processes can call it
    bounds: root Cramer-Rao bound at a place, by curve and quantity; None where there is none
    theory: root mean squared error or share of maximum likelihood at a place, outliers below the
        threshold included, by curve and quantity; None where it is not known
    """

    name: str
    title: str
    axis: str
    values: tuple[float, ...]
    quantities: Mapping[str, Quantity]
    trial: Callable[[float, np.random.Generator], Errors]
    bounds: Callable[[float], Errors] | None = None
    theory: Callable[[float], Errors] | None = None


@dataclass(frozen=True)
class PointResult:
    """Averages at one place of the axis.

    value: place along the axis
    average: root mean square or mean by curve and quantity
    median: median of the moduli by curve and quantity, which outliers do not move
    bound: root Cramer-Rao bound by curve and quantity
    theory: error or share of maximum likelihood by curve and quantity, where it is known
    num_runs: Monte Carlo runs
    """

    value: float
    average: Errors
    median: Errors
    bound: Errors
    theory: Errors
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
    """Averages of the runs at one place, beside the bound and the theory.

    experiment: the figure
    index: place along the axis
    errors: of each run
    """
    value = experiment.values[index]
    average: dict[str, dict[str, float]] = {}
    median: dict[str, dict[str, float]] = {}
    for curve, quantities in errors[0].items():
        average[curve] = {}
        median[curve] = {}
        for quantity in quantities:
            samples = np.array([run[curve][quantity] for run in errors])
            if experiment.quantities[quantity].average == "rms":
                average[curve][quantity] = float(np.sqrt(np.mean(samples**2)))
            else:
                average[curve][quantity] = float(np.mean(samples))
            median[curve][quantity] = float(np.median(np.abs(samples)))
    return PointResult(
        value=value,
        average=average,
        median=median,
        bound=experiment.bounds(value) if experiment.bounds else {},
        theory=experiment.theory(value) if experiment.theory else {},
        num_runs=len(errors),
    )
