"""Cooperation of a base station and UEs by where a target is: zones, and their bands.

Source: DC section IV-C, Fig. 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cooperative_isac.scene.radio_link import RadioLink

# Zones by their distance from the base station: what it receives itself of its own signal and of
# those of UEs; UEs that receive its signal; UEs that receive signals of UEs.
ZONES = ("A", "B", "C")

# Consecutive frames of a search: stations find a target in the first two, which they take in turns,
# and report it in the frame after.
SEARCH_FRAMES = 3

# Sizes of packets for which the reach of the radio link is described, bits: one report over one
# link, and several of both.
SHORT_PACKET_BITS = 300
LONG_PACKET_BITS = 1000


@dataclass(frozen=True)
class Cooperation:
    """Where the links of each zone are used.

    base_station: name of the base station
    base_station_m: [3], float64, m, map, from which distances count
    kinds: zones whose bands are used at all
    limits_m: outer limits of zones A and B, m; None: every kind is used everywhere
    overlap_m: width on both sides of a limit in which the zones of both sides are used, m
    search_every: frames from one search, with the bands of all kinds, to the next
    radio_link: of the packets of UEs; None: every packet arrives
    """

    base_station: str
    base_station_m: np.ndarray
    kinds: tuple[str, ...] = ZONES
    limits_m: tuple[float, float] | None = None
    overlap_m: float = 20.0
    search_every: int = 20
    radio_link: RadioLink | None = None

    @property
    def summary(self) -> str:
        """Kinds, limits, searches and the radio link in words."""
        # Where which kind is used.
        kinds = ", ".join(self.kinds)
        if self.limits_m is None:
            text = f"kinds {kinds}, everywhere"
        else:
            first_m, second_m = self.limits_m
            text = (
                f"kinds {kinds}: A up to {first_m:g} m, B up to {second_m:g} m, C beyond, "
                f"overlapping by {self.overlap_m:g} m; a search every {self.search_every} frames"
            )
        if self.radio_link is None:
            return text

        # How far packets of UEs reach.
        reaches = [
            f"{bits} bits {self.radio_link.reach_m(bits):.0f} m"
            for bits in (SHORT_PACKET_BITS, LONG_PACKET_BITS)
        ]
        return f"{text}; reach of UEs' packets: {', '.join(reaches)}"

    def covers(self, zone: str, points_m: np.ndarray) -> np.ndarray:
        """Mask of the locations at which the links of a zone are used, [n], bool.

        zone: one of ZONES; empty: of a band that is used everywhere
        points_m: [n, 3], float64, m, map
        """
        # Zones that are used nowhere, and those that are used everywhere.
        if not self.is_used(zone):
            return np.zeros(len(points_m), bool)
        if not zone or self.limits_m is None:
            return np.ones(len(points_m), bool)

        # Inner and outer limit of the zone, with the overlaps.
        place = ZONES.index(zone)
        limits_m = (-np.inf, *self.limits_m, np.inf)
        inner_m = limits_m[place] - self.overlap_m
        outer_m = limits_m[place + 1] + self.overlap_m

        # Locations between both.
        distances_m = np.linalg.norm(points_m - self.base_station_m, axis=1)
        return (distances_m >= inner_m) & (distances_m <= outer_m)

    def is_used(self, zone: str) -> bool:
        """True where the links of a zone are used anywhere."""
        return not zone or zone in self.kinds

    def is_search(self, number: int) -> bool:
        """True where frame `number` is left to the search for new targets."""
        return number % self.search_every < SEARCH_FRAMES

    def scheduled(self, zones: Sequence[str], number: int, points_m: np.ndarray) -> list[bool]:
        """Whether each of some bands is on the air in a frame.

        All are in frames of a search, and where no band would be on the air, as without a target.

        zones: of the bands
        number: of the frame
        points_m: [n, 3], float64, m, map, where targets are expected
        """
        used = [self.is_used(zone) for zone in zones]
        if self.limits_m is None or self.is_search(number):
            return used
        needed = [bool(self.covers(zone, points_m).any()) for zone in zones]
        return needed if any(needed) else used
