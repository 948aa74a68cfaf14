"""Orders in which radios deliver samples and antennas, beside the stated one."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from cooperative_isac.scene.band import OfdmGrid
from cooperative_isac.scene.station import Site
from cooperative_isac.sensing.search_grid import ELEMENT_DECIMALS

MIRRORED = "mirrored (phase of the wrong sign, or reverse order)"
ONE_WAY_MIRRORS = ("mirrored left to right", "mirrored top to bottom")


@dataclass(frozen=True)
class Order:
    """Order of the samples in a message; names are empty for the stated order.

    conjugated: samples are re - j im instead of re + j im
    subcarriers_name: order of the subcarriers in words
    subcarriers: [num_subcarriers], int, place in the message of each subcarrier of the frame
    symbols_name: order of the symbols in words
    symbols: [num_symbols], int, place in the message of each symbol of the frame
    """

    conjugated: bool
    subcarriers_name: str
    subcarriers: np.ndarray
    symbols_name: str
    symbols: np.ndarray

    @property
    def num_faults(self) -> int:
        """Number of respects in which it differs from the stated order."""
        return self.conjugated + bool(self.subcarriers_name) + bool(self.symbols_name)

    def restored(self, echo: np.ndarray) -> np.ndarray:
        """An echo in the stated order.

        echo: [num_rx_ant, num_subcarriers, num_symbols], complex64, in this order
        Returns the same shape.
        """
        ordered = echo[:, self.subcarriers[:, None], self.symbols]
        return ordered.conj() if self.conjugated else ordered


def sample_orders(grid: OfdmGrid) -> tuple[Order, ...]:
    """Orders of samples that occur in practice, the stated one first.

    On a fragmented spectrum they are those of the used subcarriers, without the gaps.
    """
    # Subcarriers: their places on the comb in spectra inverted, shifted by half (fftshift) or by
    # one.
    upward = grid.places - grid.places[0]
    span = grid.span
    swapped = (upward - span // 2) % span
    places = {
        "": upward,
        "in reverse order": -upward,
        "mirrored about the middle one": -upward % span,
        "with their halves swapped (fftshift)": swapped,
        "in reverse order with their halves swapped": -swapped,
        "shifted up by one": (upward + 1) % span,
        "shifted down by one": (upward - 1) % span,
    }
    subcarriers = _distinct({name: _ranks(order) for name, order in places.items()})

    # Symbols: reversed, or shifted by one.
    forward = np.arange(grid.num_symbols)
    symbols = _distinct(
        {
            "": forward,
            "in reverse order": forward[::-1],
            "one too late": np.roll(forward, -1),
            "one too early": np.roll(forward, 1),
        }
    )

    return tuple(
        Order(conjugated, *over_subcarriers, *over_symbols)
        for conjugated, over_subcarriers, over_symbols in product(
            (False, True), subcarriers, symbols
        )
    )


def element_orders(site: Site) -> tuple[tuple[str, np.ndarray | None], ...]:
    """Orders of the receive elements that occur in practice, the stated one first.

    site: receiving station
    Returns names and, for each place in the message, the element in it, [num_ant], int; None stands
    for the stated elements with the mirrored phase, the reverse order of a uniform array.
    """
    stated = np.arange(site.num_ant)
    local_m = np.round(site.elements_m @ site.rotation, ELEMENT_DECIMALS)
    num_vertical = len(np.unique(local_m[:, 2]))
    num_horizontal = len(np.unique(local_m[:, 1]))
    is_grid = site.kind == "planar" and num_vertical * num_horizontal == site.num_ant
    if not is_grid:
        return (("", stated), (MIRRORED, None)) if site.num_ant > 1 else (("", stated),)

    # Planar array: transposed, mirrored along either axis, or any of these together.
    orders = {"": stated}
    grid = stated.reshape(num_horizontal, num_vertical)
    for transposed, sideways, upright in product((False, True), repeat=3):
        mirrored = grid[:: -1 if sideways else 1, :: -1 if upright else 1]
        mirror_name = {
            (True, False): ONE_WAY_MIRRORS[0],
            (False, True): ONE_WAY_MIRRORS[1],
            (True, True): MIRRORED,
        }.get((sideways, upright), "")
        transposed_name = "transposed, y running fastest instead of z" if transposed else ""
        name = "; ".join(filter(None, (transposed_name, mirror_name)))
        orders[name] = (mirrored.T if transposed else mirrored).ravel()
    return tuple(_distinct(orders))


def _ranks(values: np.ndarray) -> np.ndarray:
    """Place of each of some distinct values in their ascending order, int."""
    return np.argsort(np.argsort(values))


def _distinct(orders: dict[str, np.ndarray]) -> list[tuple[str, np.ndarray]]:
    """Orders by name, the first of each that is the same under several names."""
    kept: dict[bytes, tuple[str, np.ndarray]] = {}
    for name, order in orders.items():
        kept.setdefault(np.ascontiguousarray(order).tobytes(), (name, order))
    return list(kept.values())
