"""Fisher scoring with step control."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

# Steps at most. Scoring usually ends after 3 or 4 from within the main lobe.
SCORING_STEPS = 20
# Length of a step in standard deviations below which scoring ends: it changes no digit that counts.
NEGLIGIBLE_STEP = 1e-3

# Eigenvalue of a correlation, over the greatest, below which it is rounding error.
NEGLIGIBLE_EIGENVALUE = 1e-15

# Root information of a parameter, over the greatest of all, below which it is rounding error.
# Delays in s and speeds in m/s, the most unequal units here, differ by 1e8.
NEGLIGIBLE_SCALE = 1e-12

# Log-likelihood, its gradient [size] and the Fisher information [size, size] at parameters [size].
Likelihood = Callable[[np.ndarray], tuple[float, np.ndarray, np.ndarray]]


def fisher_scoring(
    likelihood: Likelihood, start: np.ndarray, negligible_step: float = NEGLIGIBLE_STEP
) -> tuple[np.ndarray, np.ndarray]:
    """Maximum of a likelihood near a start.

    Along directions without information the parameters stay at the start.

    likelihood: value, gradient and Fisher information at parameters
    start: [size], float64, within the main lobe
    negligible_step: length in standard deviations below which a step is not taken
    Returns the parameters [size], float64, and the Fisher information there [size, size], float64.
    """
    parameters = np.asarray(start, float)
    value, gradient, information = likelihood(parameters)
    for _ in range(SCORING_STEPS):
        # A scoring step, with its length in standard deviations.
        step = _newton_step(information, gradient)
        length = np.sqrt(max(step @ information @ step, 0.0))

        # Halve the step until the likelihood rises.
        risen = None
        while length >= negligible_step and risen is None:
            trial = likelihood(parameters + step)
            if trial[0] > value:
                risen = trial
                parameters = parameters + step
            step = step / 2
            length = length / 2
        if risen is None:
            break
        value, gradient, information = risen
    return parameters, information


def _newton_step(information: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """Least-norm solution of information @ step = gradient, parameters scaled to equal units."""
    # Equal units; a parameter with negligible information stays as it is.
    scale = np.sqrt(np.diag(information))
    least_scale = NEGLIGIBLE_SCALE * scale.max()
    scale = np.where(scale > least_scale, scale, np.inf)
    correlation = information / np.multiply.outer(scale, scale)
    scaled_gradient = gradient / scale

    # Directions that have information, by the eigenvalues.
    eigenvalues, vectors = np.linalg.eigh(correlation)
    magnitudes = np.abs(eigenvalues)
    least_magnitude = NEGLIGIBLE_EIGENVALUE * magnitudes.max()
    is_known = magnitudes > least_magnitude

    # Pseudo-inverse along them.
    divisors = np.where(is_known, eigenvalues, 1)
    inverses = np.where(is_known, 1 / divisors, 0)
    components = inverses * (vectors.T @ scaled_gradient)
    return vectors @ components / scale
