"""Sparse recovery of paths where resource elements are missing.

Zero filling of holes raises side lobes. Compressed sensing instead explains what was measured by
few paths on a grid of delays and Doppler shifts (OMP, FISTA); `newtonized` recovers them off it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import get_blas_funcs, solve_triangular
from scipy.special import gammainccinv


@dataclass(frozen=True)
class DelayDopplerGrid:
    """Dictionary of paths on a regular grid, applied by fast Fourier transforms.

    Cell (k, l) is the path with delay k / (num_delays spacing) and Doppler l / (num_dopplers
    symbol), both modulo their unambiguous span. Atoms have unit norm on the elements in use.

    mask: [num_subcarriers, num_symbols], bool, resource elements in use
    num_delays: cells over the unambiguous delay, at least num_subcarriers
    num_dopplers: cells over the unambiguous Doppler shift, at least num_symbols
    """

    mask: np.ndarray
    num_delays: int
    num_dopplers: int

    def __post_init__(self) -> None:
        num_subcarriers, num_symbols = self.mask.shape
        if self.num_delays < num_subcarriers or self.num_dopplers < num_symbols:
            raise ValueError(
                f"a grid of {self.num_delays} x {self.num_dopplers} cells is coarser than the "
                f"{num_subcarriers} x {num_symbols} resource elements: take at least as many"
            )

    @property
    def norm(self) -> float:
        """Norm of a path of unit amplitude on the elements in use."""
        return float(np.sqrt(np.count_nonzero(self.mask)))

    @property
    def squared_gain(self) -> float:
        """Largest eigenvalue of synthesis times its adjoint.

        Rows of the Fourier transform are orthogonal: all eigenvalues are this one, or zero.
        """
        return self.num_delays * self.num_dopplers / self.norm**2

    @cached_property
    def atom_correlations(self) -> np.ndarray:
        """Correlations of the atom of cell (0, 0) with all atoms, twice in each dimension.

        Those of another atom are a cyclic shift, which is a view of this array.
        Returns [2 num_delays, 2 num_dopplers], complex128.
        """
        origin = np.where(self.mask, 1 / self.norm, 0)
        return np.tile(self.correlate(origin), (2, 2))

    def synthesize(self, cells: np.ndarray) -> np.ndarray:
        """Superposition of the atoms of all cells.

        cells: [num_delays, num_dopplers], complex, coefficients of the atoms
        Returns [num_subcarriers, num_symbols], complex128, zero outside the mask.
        """
        num_subcarriers, num_symbols = self.mask.shape
        over_frequency = np.fft.fft(cells, axis=0)[:num_subcarriers]
        over_time = np.fft.ifft(over_frequency, axis=1, norm="forward")[:, :num_symbols]
        return np.where(self.mask, over_time, 0) / self.norm

    def correlate(self, values: np.ndarray) -> np.ndarray:
        """Correlation of values with all atoms: the adjoint of `synthesize`.

        values: [num_subcarriers, num_symbols], complex
        Returns [num_delays, num_dopplers], complex128.
        """
        used = np.where(self.mask, values, 0)
        over_delay = np.fft.ifft(used, n=self.num_delays, axis=0, norm="forward")
        return np.fft.fft(over_delay, n=self.num_dopplers, axis=1) / self.norm

    def atoms(self, delays: np.ndarray, dopplers: np.ndarray) -> np.ndarray:
        """Atoms of chosen cells on the elements in use.

        delays, dopplers: [num_atoms], int, indices of the cells
        Returns [num_elements, num_atoms], complex128, columns of unit norm.
        """
        rows, columns = np.nonzero(self.mask)
        turns = -np.multiply.outer(rows, delays) / self.num_delays
        turns += np.multiply.outer(columns, dopplers) / self.num_dopplers
        return np.exp(2j * np.pi * turns) / self.norm


def statistic_threshold(num_cells: int, false_alarm_rate: float, num_bands: int) -> float:
    """Detection statistic that the greatest of many noise cells exceeds with a probability.

    num_cells: independent cells that are searched
    false_alarm_rate: probability that any of them exceeds the threshold under noise alone
    num_bands: bands whose unit exponential statistics are added
    """
    per_cell = -np.expm1(np.log1p(-false_alarm_rate) / num_cells)
    return float(gammainccinv(num_bands, per_cell))


def peak_threshold(num_cells: int, false_alarm_rate: float, noise_power: float) -> float:
    """Power that the strongest of many independent noise cells exceeds with a probability.

    num_cells: independent cells that are searched, of unit-norm atoms
    false_alarm_rate: probability that any of them exceeds the threshold under noise alone
    noise_power: variance of the circular noise on each resource element
    """
    return noise_power * statistic_threshold(num_cells, false_alarm_rate, 1)


def omp(
    values: np.ndarray,
    grid: DelayDopplerGrid,
    threshold: float,
    max_paths: int,
    search: tuple[range, range] | None = None,
) -> np.ndarray:
    """Orthogonal matching pursuit on the grid.

    After one transform of the measurement all steps are in the domain of correlations: an atom's
    correlations with all others are a shift of those of cell (0, 0), and the orthogonal basis of
    the chosen atoms (Gram and Schmidt) is kept as its correlations.

    values: [num_subcarriers, num_symbols], complex
    grid: dictionary
    threshold: power of a correlation below which no atom is taken
    max_paths: atoms at most
    search: consecutive cells of delay and of Doppler shift that are searched, modulo the grid, such
        as (range(0, 100), range(-8, 9)); all if None
    Returns [num_delays, num_dopplers], complex128, coefficients, zero but for the chosen atoms.
    Source: Pati, Rezaiifar, Krishnaprasad, Proc. Asilomar, 1993.
    """
    delays, dopplers = search or (range(grid.num_delays), range(grid.num_dopplers))
    rows = np.arange(delays.start, delays.stop) % grid.num_delays
    columns = np.arange(dopplers.start, dopplers.stop) % grid.num_dopplers

    # Correlations of the residual, and of the basis, with all searched atoms.
    residual = grid.correlate(values)[rows[:, None], columns].reshape(-1)
    basis = np.empty((max_paths, len(residual)), complex)
    axpy, gemv = get_blas_funcs(("axpy", "gemv"), (residual,))
    # Components of the chosen atoms and of the measurement along the basis.
    factor = np.eye(max_paths, dtype=complex)
    components = np.zeros(max_paths, complex)

    chosen: list[int] = []
    while len(chosen) < max_paths:
        # The atom that explains most of the residual.
        power = residual.real**2 + residual.imag**2
        atom = int(np.argmax(power))
        if power[atom] < threshold or atom in chosen:
            break

        # Its correlations with all searched atoms.
        count = len(chosen)
        row, column = divmod(atom, len(columns))
        first_row = (rows[0] - rows[row]) % grid.num_delays
        first_column = (columns[0] - columns[column]) % grid.num_dopplers
        basis[count] = grid.atom_correlations[
            first_row : first_row + len(rows), first_column : first_column + len(columns)
        ].reshape(-1)

        # Its part that is orthogonal to the chosen atoms.
        if count:
            squared_norms = basis[range(count), chosen].real
            factor[:count, count] = basis[:count, atom].conj() / squared_norms
            basis[count] = gemv(
                -1.0, basis[:count].T, factor[:count, count], 1.0, basis[count], overwrite_y=True
            )

        # The residual without that part.
        components[count] = residual[atom] / basis[count, atom].real
        residual = axpy(basis[count], residual, a=-components[count])
        chosen.append(atom)

    # Least squares over all chosen atoms.
    cells = np.zeros((grid.num_delays, grid.num_dopplers), complex)
    if chosen:
        count = len(chosen)
        coefficients = solve_triangular(factor[:count, :count], components[:count])
        chosen_rows, chosen_columns = np.divmod(chosen, len(columns))
        cells[rows[chosen_rows], columns[chosen_columns]] = coefficients
    return cells


def fista(
    values: np.ndarray, grid: DelayDopplerGrid, shrinkage: float, num_iterations: int
) -> np.ndarray:
    """Fast iterative shrinkage-thresholding: minimizes |values - A x|^2 / 2 + shrinkage |x|_1.

    values: [num_subcarriers, num_symbols], complex
    grid: dictionary A
    shrinkage: weight of the l1 norm, in units of the values; the square root of `peak_threshold` of
        a false-alarm rate leaves hardly a cell under noise alone
    num_iterations: iterations
    Returns [num_delays, num_dopplers], complex128, coefficients, biased towards zero.
    Source: Beck, Teboulle, SIAM J. Imaging Sciences 2(1), 2009, section 4.
    """
    # The step is one over the Lipschitz constant of the gradient, which is known exactly.
    step = 1 / grid.squared_gain
    cells = np.zeros((grid.num_delays, grid.num_dopplers), complex)
    extrapolated = cells
    momentum = 1.0
    for _ in range(num_iterations):
        # Gradient step, then soft threshold.
        residual = values - grid.synthesize(extrapolated)
        updated = _soft_threshold(extrapolated + step * grid.correlate(residual), step * shrinkage)

        # Nesterov's extrapolation.
        next_momentum = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        extrapolated = updated + (momentum - 1) / next_momentum * (updated - cells)
        cells = updated
        momentum = next_momentum
    return cells


def debiased(values: np.ndarray, grid: DelayDopplerGrid, cells: np.ndarray) -> np.ndarray:
    """Least squares coefficients on the local maxima of a sparse solution.

    The l1 norm shrinks every coefficient and spreads a path between grid points over neighbors;
    this takes one atom a peak, and its unbiased coefficient.

    values: [num_subcarriers, num_symbols], complex
    grid: dictionary
    cells: [num_delays, num_dopplers], complex, solution of `fista`
    Returns [num_delays, num_dopplers], complex128.
    """
    # Local maxima.
    power = np.abs(cells) ** 2
    is_peak = power > 0
    for shift in ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1)):
        is_peak &= power >= np.roll(power, shift, axis=(0, 1))
    delays, dopplers = np.nonzero(is_peak)

    # Their coefficients.
    solved = np.zeros_like(cells)
    if len(delays):
        dictionary = grid.atoms(delays, dopplers)
        coefficients, *_ = np.linalg.lstsq(dictionary, values[grid.mask], rcond=None)
        solved[delays, dopplers] = coefficients
    return solved


def _soft_threshold(cells: np.ndarray, shrinkage: float) -> np.ndarray:
    """Complex numbers with their modulus lowered by a shrinkage, at least to zero."""
    modulus = np.abs(cells)
    scale = np.maximum(1 - shrinkage / np.maximum(modulus, np.finfo(float).tiny), 0)
    return scale * cells
