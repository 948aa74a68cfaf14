"""Target behind a corner, located by one base station by way of known walls (DC section III-E)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from cooperative_isac.evaluation.deep_cooperation.draws import (
    complex_noise,
    random_phase,
    symbol_duration_s,
)
from cooperative_isac.evaluation.deep_cooperation.experiment import Errors, Experiment, Quantity
from cooperative_isac.evaluation.deep_cooperation.stations import (
    LinkGrid,
    empty_link,
    square_lattice,
)
from cooperative_isac.fusion.link_channel import LinkChannel, link_response
from cooperative_isac.fusion.reflectors import Reflector, image_link, locate_by_reflections
from cooperative_isac.fusion.symbol_level import state_information

# Frame: 30.7 MHz around 24 GHz, so that a range cell is 4.9 m.
NUM_SUBCARRIERS = 128
NUM_SYMBOLS = 32
SPACING_HZ = 240e3
CARRIER_HZ = 24e9

# Receive array, half a wavelength apart, facing along the street; it transmits with one antenna.
NUM_ANTENNAS = 8
ALONG_STREET = np.array([1.0, 0.0])

# The station stands at the start of a street of 40 m along x. A wall limits the street opposite
# the side street, another closes it at its end.
OPPOSITE = Reflector(np.array([0.0, 20.0]), np.array([0.0, -1.0]))
END = Reflector(np.array([110.0, 0.0]), np.array([-1.0, 0.0]))

# Targets in the side street, hidden from the station, m.
CENTER_M = np.array([70.0, -35.0])
HALF_WIDTHS_M = np.array([8.0, 12.0])
MAX_SPEED_MPS = 15.0

# Lattices of the search: finer than the range cell and than the 45 m/s that a frame resolves.
LATTICE_STEP_M = 2.0
VELOCITY_STEP_MPS = 7.5

# Places of the target along each axis over which bounds are averaged.
BOUND_PLACES = 5

UNKNOWN = "direct path assumed, wall unknown"
ONE = "one known wall"
TWO = "two known walls, four paths"
OPEN = "not blocked: direct path and two walls, nine paths"

# Walls between station and target on the way out and in, of the paths of each curve.
PATHS: dict[str, tuple[Reflector | None, ...]] = {
    ONE: (OPPOSITE,),
    TWO: (OPPOSITE, END),
    OPEN: (None, OPPOSITE, END),
}


def reflections() -> Experiment:
    """Location by way of known walls, over the SNR of a path."""
    return Experiment(
        name="reflections",
        title="DC III-E: a target behind a corner, located by way of known walls",
        axis="SNR of a path on one antenna and resource element (dB)",
        values=(-30.0, -27.0, -24.0, -21.0, -18.0, -15.0, -10.0, -5.0),
        quantities={"location_m": Quantity("RMSE of location (m)")},
        trial=_trial,
        bounds=_bounds,
    )


def _trial(snr_db: float, generator: np.random.Generator) -> Errors:
    """Errors of one run."""
    # The target: a place in the side street, and a velocity of random direction.
    position_m = CENTER_M + generator.uniform(-1, 1, 2) * HALF_WIDTHS_M
    heading = generator.uniform(0, 2 * np.pi)
    speed_mps = generator.uniform(0, MAX_SPEED_MPS)
    velocity_mps = speed_mps * np.array([np.cos(heading), np.sin(heading)])

    # Each curve has its own paths; all curves share the noise.
    noise = complex_noise(generator, _station().values.shape)
    amplitude = 10 ** (snr_db / 20)
    errors: dict[str, dict[str, float]] = {}
    for name in PATHS:
        links = _links(name)
        echo = noise.copy()
        for link in links:
            response = link_response(link, position_m, velocity_mps)
            echo += amplitude * random_phase(generator) * response
        received = [replace(link, values=echo) for link in links]
        errors[name] = _error(received, position_m)

        # The same echo, taken for that of a direct path.
        if name == ONE:
            errors[UNKNOWN] = _error([replace(_station(), values=echo)], position_m)
    return {name: errors[name] for name in (UNKNOWN, *PATHS)}


def _error(links: Sequence[LinkChannel], position_m: np.ndarray) -> dict[str, float]:
    """Error of the located target."""
    state = locate_by_reflections(
        links, _points(), square_lattice(MAX_SPEED_MPS, VELOCITY_STEP_MPS)
    )
    return {"location_m": float(np.linalg.norm(state.position_m - position_m))}


def _bounds(snr_db: float) -> Errors:
    """Root bounds of paths that do not overlap, averaged in the square over the targets."""
    snr = 10 ** (snr_db / 10)
    shares = np.linspace(-1, 1, BOUND_PLACES)
    bounds = {}
    for name in PATHS:
        links = _links(name)
        variances = []
        for share in np.stack(np.meshgrid(shares, shares), axis=-1).reshape(-1, 2):
            position_m = CENTER_M + share * HALF_WIDTHS_M
            information = state_information(links, [snr] * len(links), position_m, np.zeros(2))

            # The block of the location: the velocity is taken for known.
            variances.append(np.trace(np.linalg.inv(information[:2, :2])))
        bounds[name] = {"location_m": float(np.sqrt(np.mean(variances)))}
    return bounds


def _links(name: str) -> list[LinkChannel]:
    """Image links of all pairs of legs of a curve."""
    legs = PATHS[name]
    return [image_link(_station(), outward, inward) for outward in legs for inward in legs]


def _station() -> LinkChannel:
    """The station's own link, without a channel."""
    grid = LinkGrid(
        CARRIER_HZ, SPACING_HZ, NUM_SUBCARRIERS, symbol_duration_s(SPACING_HZ), NUM_SYMBOLS
    )
    return empty_link(grid, np.zeros(2), np.zeros(2), ALONG_STREET, NUM_ANTENNAS)


def _points() -> np.ndarray:
    """Lattice of the search: the side street, and the street where an unknown wall's image is."""
    x_m = np.arange(40.0, 110.0, LATTICE_STEP_M)
    y_m = np.arange(-60.0, 100.0, LATTICE_STEP_M)
    return np.stack(np.meshgrid(x_m, y_m), axis=-1).reshape(-1, 2)
