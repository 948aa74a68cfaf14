"""The local maximum-likelihood access point: targets out of one echo, strongest first (DESIGN of the scheme in docs)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Sequence

import numpy as np

from cooperative_isac.scene.model import OfdmGrid, Scene, Site
from cooperative_isac.sensing.correlation import StreamReference, stream_reference
from cooperative_isac.sensing.echo_group import (EchoGroup, group_echoes, keep_paths, match_group, refine_group,
                                                 settle_group)
from cooperative_isac.sensing.matched_filter import MatchedFilter, PathEcho, View
from cooperative_isac.sensing.search_grid import SearchGrid, search_grid
from cooperative_isac.sensing.surface import doppler_bins, likelihood_surface
from cooperative_isac.waveform.frame import TransmitFrame

POLISH_ROUNDS = 3
PATH_FALSE_ALARM = 0.01
MAX_SEARCHES = 2
MAX_PEAKS = 24
STILL_THERE = 0.5


@dataclass(frozen=True)
class LocalMl:
    """A receiver that knows the frame and looks for targets; grid: the resource grid it senses on."""

    scene: Scene
    receiver: Site
    grid: OfdmGrid

    @cached_property
    def search(self) -> SearchGrid:
        return search_grid(self.scene, self.receiver, self.grid)

    @property
    def max_doppler_hz(self) -> float:
        """Largest bistatic Doppler shift of a target at the scene's maximum speed."""
        return 2 * self.scene.sensing.max_speed_mps / self.grid.wavelength_m

    def sense(self, echo: np.ndarray, frame: TransmitFrame) -> list[EchoGroup]:
        """Find targets in an echo [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W)."""
        reference = stream_reference(frame, self.max_doppler_hz)
        matched = MatchedFilter(self.scene, self.receiver, reference)
        correlation = reference.correlate(echo)
        groups: list[EchoGroup] = []
        for _ in range(MAX_SEARCHES):
            found = self._search(matched, correlation, groups)
            if not found:
                break
            groups = self._polish(matched, correlation, groups + found)
        return groups

    def detection_threshold(self, reference: StreamReference) -> float:
        """Power that noise alone exceeds anywhere with the scene's false-alarm probability (Exp(1) per cell)."""
        bins, _ = doppler_bins(reference, self.max_doppler_hz)
        trials = len(self.search.points_m) * len(self.scene.transmitters) * len(bins) / 2
        probability = self.scene.sensing.false_alarm_probability
        return float(-np.log(-np.expm1(np.log1p(-probability) / trials)))

    def path_threshold(self, reference: StreamReference) -> float:
        """Power that noise exceeds at a known location, at any Doppler shift, with PATH_FALSE_ALARM."""
        bins, _ = doppler_bins(reference, self.max_doppler_hz)
        return float(-np.log(PATH_FALSE_ALARM / len(bins)))

    def _search(self, matched: MatchedFilter, correlation: np.ndarray, known: list[EchoGroup]) -> list[EchoGroup]:
        """New groups among the peaks of what the known ones leave of the correlation, strongest first."""
        threshold = self.detection_threshold(matched.reference)
        residual = take_off(correlation, [echo for group in known for echo in group_echoes(matched, group)])
        surface = likelihood_surface(self.search, matched.reference, residual, matched.noise_power_w,
                                     self.max_doppler_hz)
        power = np.where(surface.power > self.path_threshold(matched.reference), surface.power, 0)
        groups: list[EchoGroup] = []
        for _ in range(MAX_PEAKS):
            cell = int(power.sum(axis=0).argmax())
            tx = int(power[:, cell].argmax())
            if len(groups) + len(known) >= self.scene.sensing.max_targets or power[tx, cell] < threshold:
                break
            power[:, self.search.neighbours(cell)] = 0
            start = self._still_there(matched, residual, cell, tx, surface.doppler_hz[tx, cell], threshold)
            if start is None:
                continue
            group = self._fit(matched, matched.view(residual, start.point_m), start)
            if group.power >= threshold:
                residual = take_off(residual, group_echoes(matched, group))
                groups.append(group)
        return groups

    def _still_there(self, matched: MatchedFilter, residual: np.ndarray, cell: int, tx: int, doppler_hz: float,
                     threshold: float) -> EchoGroup | None:
        """The path at a peak of the surface, unless the groups found since have explained it away."""
        point = self.search.points_m[cell]
        group = match_group(matched, {tx: matched.glance(residual, point)}, point, {tx: float(doppler_hz)})
        return group if group.power >= threshold * STILL_THERE else None

    def _fit(self, matched: MatchedFilter, view: View, start: EchoGroup) -> EchoGroup:
        """Refine a group, then add the strongest missing path until none is left above the threshold.

        Each path is looked for with the ones already found removed: at equal delays one transmitter's echo would
        else be taken for another's.
        """
        return self._complete(matched, view, refine_group(matched, view, start.point_m, start.doppler_hz))

    def _complete(self, matched: MatchedFilter, view: View, group: EchoGroup) -> EchoGroup:
        threshold = self.path_threshold(matched.reference)
        group = keep_paths(group, threshold)
        while group.fits and (missing := self._missing_path(matched, view, group, threshold)):
            grown = keep_paths(refine_group(matched, view, group.point_m, group.doppler_hz | missing), threshold)
            if len(grown.fits) <= len(group.fits):
                break
            group = grown
        return group

    def _missing_path(self, matched: MatchedFilter, view: View, group: EchoGroup,
                      threshold: float) -> dict[int, float]:
        """Transmitter and Doppler shift of the strongest path that the group lacks; empty where none is heard."""
        absent = set(range(len(self.scene.transmitters))) - group.fits.keys()
        if not absent:
            return {}
        _, shifts = doppler_bins(matched.reference, self.max_doppler_hz)
        behind = view.without(group_echoes(matched, group)).behind(matched.receive_basis(group.point_m))
        found = {}
        for tx in absent:
            spectrum = matched.doppler_spectrum(behind, group.point_m, tx, shifts)
            found[tx] = (float(spectrum.max()), float(shifts[spectrum.argmax()]))
        strongest = max(found, key=found.get)
        return {strongest: found[strongest][1]} if found[strongest][0] > threshold else {}

    def _polish(self, matched: MatchedFilter, correlation: np.ndarray, groups: list[EchoGroup]) -> list[EchoGroup]:
        """Fit every group again with the exact waveforms of all the others removed; drop those that fade away."""
        views = [matched.view(correlation, group.point_m) for group in groups]
        echoes = [group_echoes(matched, group) for group in groups]
        for _ in range(POLISH_ROUNDS if len(groups) > 1 else 0):
            for index, group in enumerate(groups):
                if not group.fits:
                    continue
                others = chain.from_iterable(echoes[:index] + echoes[index + 1:])
                view = views[index].without(others)
                groups[index] = self._complete(matched, view, settle_group(matched, view, group))
                echoes[index] = group_echoes(matched, groups[index])
        return [group for group in groups if group.fits]


def take_off(correlation: np.ndarray, echoes: Sequence[PathEcho]) -> np.ndarray:
    """The correlation without the given paths."""
    if not echoes:
        return correlation
    arrivals = np.stack([echo.arrival for echo in echoes], axis=1)
    waveforms = np.stack([echo.own.ravel() for echo in echoes])
    return correlation - (arrivals @ waveforms).reshape(correlation.shape)
