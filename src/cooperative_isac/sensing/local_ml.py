"""The local maximum-likelihood access point: targets out of one echo, strongest first (DESIGN of the scheme in docs)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cooperative_isac.scene.model import OfdmGrid, Scene, Site
from cooperative_isac.sensing.correlation import StreamReference, stream_reference
from cooperative_isac.sensing.echo_group import (EchoGroup, group_correlation, keep_paths, match_group, path_echo,
                                                    refine_group)
from cooperative_isac.sensing.matched_filter import MatchedFilter
from cooperative_isac.sensing.search_grid import SearchGrid, search_grid
from cooperative_isac.sensing.surface import Surface, doppler_bins, likelihood_surface
from cooperative_isac.waveform.frame import TransmitFrame

POLISH_ROUNDS = 2
PATH_FALSE_ALARM = 0.01


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
        """Find targets in an echo [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W), strongest first."""
        reference = stream_reference(frame, self.max_doppler_hz)
        matched = MatchedFilter(self.scene, self.receiver, reference)
        residual = reference.correlate(echo)
        groups: list[EchoGroup] = []
        while len(groups) < self.scene.sensing.max_targets:
            surface = likelihood_surface(self.search, reference, residual, matched.noise_power_w, self.max_doppler_hz)
            start = self._strongest(surface, matched, residual)
            if start is None:
                break
            group = self._fit(matched, residual, start)
            residual = residual - group_correlation(matched, group)
            groups.append(group)
            groups, residual = self._polish(matched, residual, groups)
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

    def _strongest(self, surface: Surface, matched: MatchedFilter, residual: np.ndarray) -> EchoGroup | None:
        """The strongest path of the cell that all transmitters together support best."""
        reference = matched.reference
        if surface.power.max() < self.detection_threshold(reference):
            return None
        supported = np.where(surface.power > self.path_threshold(reference), surface.power, 0)
        cell = int(supported.sum(axis=0).argmax())
        tx = int(supported[:, cell].argmax())
        return match_group(matched, residual, self.search.points_m[cell], {tx: float(surface.doppler_hz[tx, cell])})

    def _fit(self, matched: MatchedFilter, correlation: np.ndarray, start: EchoGroup) -> EchoGroup:
        """Refine a group, adding the strongest missing path until none is left above the threshold.

        Each path is looked for with the ones already found removed: at equal delays one transmitter's echo would
        else be taken for another's.
        """
        threshold = self.path_threshold(matched.reference)
        group = keep_paths(refine_group(matched, correlation, start), threshold)
        while group.fits and (missing := self._missing_path(matched, correlation, group, threshold)):
            doppler_hz = group.doppler_hz | missing
            grown = refine_group(matched, correlation, match_group(matched, correlation, group.point_m, doppler_hz))
            grown = keep_paths(grown, threshold)
            if len(grown.fits) <= len(group.fits):
                break
            group = grown
        return group

    def _missing_path(self, matched: MatchedFilter, correlation: np.ndarray, group: EchoGroup,
                      threshold: float) -> dict[int, float]:
        """Transmitter and Doppler shift of the strongest path that the group lacks; empty where none is heard."""
        _, shifts = doppler_bins(matched.reference, self.max_doppler_hz)
        basis, behind = matched.receive(correlation, group.point_m)
        behind = behind - sum(path_echo(matched, group, tx).behind(basis) for tx in group.fits)
        found = {}
        for tx in set(range(len(self.scene.transmitters))) - group.fits.keys():
            spectrum = matched.doppler_spectrum((basis, behind), group.point_m, tx, shifts)
            if spectrum.max() > threshold:
                found[tx] = (float(spectrum.max()), float(shifts[spectrum.argmax()]))
        strongest = max(found, key=found.get, default=None)
        return {} if strongest is None else {strongest: found[strongest][1]}

    def _polish(self, matched: MatchedFilter, residual: np.ndarray, groups: list[EchoGroup]):
        """Fit every group again with all the others subtracted; groups that fade away are given back."""
        for _ in range(POLISH_ROUNDS if len(groups) > 1 else 0):
            polished = []
            for group in groups:
                alone = residual + group_correlation(matched, group)
                group = self._fit(matched, alone, group)
                if group.fits:
                    residual = alone - group_correlation(matched, group)
                    polished.append(group)
                else:
                    residual = alone
            groups = polished
        return groups, residual
