"""Paths of a frame for track-before-detect fusion: candidates and paths of reports in one pool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from cooperative_isac.channel.gain import expected_snr
from cooperative_isac.fusion.path_evidence import Pool, path_evidence, peak_height
from cooperative_isac.fusion.path_measurements import PathMeasurements, Solutions
from cooperative_isac.fusion.reports import links_of
from cooperative_isac.scene.geometry import bistatic_geometry
from cooperative_isac.scene.model import Scene
from cooperative_isac.sensing.candidates import Candidates
from cooperative_isac.sensing.report import EchoReport
from cooperative_isac.sensing.search_grid import NEAREST_M

# Share of the largest power that a transmitter radiates on average, where precoders have to serve
# users at once.
USED_POWER = 0.5
# Resolution cells of delay, angle and Doppler shift within which two candidates of a station are
# one echo.
SAME_CELLS = 1.0


class PathPool:
    """Paths of all links of a scene in a frame, with their evidence of targets.

    scene: with one band, and targets that are points
    """

    def __init__(self, scene: Scene):
        self.scene = scene
        self.links = links_of(scene)
        self.receivers = [site.name for site in scene.receivers]
        self._is_used = np.array(
            [scene.link_mode.allows(one.tx, one.rx) for one in self.links.names]
        )

    def pool(self, reports: Sequence[EchoReport], candidates: Mapping[str, Candidates]) -> Pool:
        """All paths of a frame.

        reports: of all stations in the frame
        candidates: by name of the station
        """
        scene = self.scene

        # Candidates; the weakest one shows the threshold of its station.
        least = np.full(len(self.receivers), np.inf)
        rows = []
        for name, own in candidates.items():
            if len(own):
                least[self.receivers.index(name)] = own.power.min()
            first = self.links.first[scene.band, name, None]  # link from the first transmitter
            link = first + own.transmitter
            values = [link, own.point_m, own.doppler_hz, own.power, own.power]
            rows.append(np.column_stack(values))

        # Paths of reports.
        for report in reports:
            first = self.links.first[report.band, report.receiver, report.surface]
            for path in report.paths:
                link = first + path.transmitter
                values = [link, *report.point_m, path.doppler_hz, path.power, path.snr]
                rows.append(np.array([values]))

        # Columns: link, location, Doppler shift, power of this accuracy, measured power.
        table = np.concatenate(rows) if rows else np.zeros((0, 7))
        table = table[self._are_apart(table[:, 0].astype(int), table[:, 1:4])]
        link = table[:, 0].astype(int)
        points_m = table[:, 1:4]
        doppler_hz = table[:, 4]
        accurate_power = table[:, 5]
        power = table[:, 6]

        # Evidence by the measured power, errors by that of this accuracy.
        expected = self.expected_snr(link, points_m)
        height = peak_height(accurate_power, expected)
        paths = PathMeasurements(scene, self.links, link, points_m, doppler_hz, power, height)
        return Pool(paths, path_evidence(power, expected), least)

    def _are_apart(self, link: np.ndarray, point_m: np.ndarray) -> np.ndarray:
        """Mask of the points away from both stations of their links, [n], bool.

        Targets are; at a station, the direction of a path and its expected power have no value.

        link: [n], int
        point_m: [n, 3], float64, m
        """
        from_transmitter_m = np.linalg.norm(point_m - self.links.transmitters_m[link], axis=1)
        from_receiver_m = np.linalg.norm(point_m - self.links.receivers_m[link], axis=1)
        return np.minimum(from_transmitter_m, from_receiver_m) >= NEAREST_M

    def expected_snr(self, link: np.ndarray, point_m: np.ndarray) -> np.ndarray:
        """Mean SNR of a target's path by way of a point, [n], float64.

        link: [n], int
        point_m: [n, 3], float64, m
        """
        scene = self.scene
        snr = np.empty(len(link))
        for number in np.unique(link).tolist():
            # Geometry of the link's own paths.
            own = link == number
            name = self.links.names[number]
            transmitter = next(site for site in scene.transmitters if site.name == name.tx)
            receiver = scene.receiver(name.rx)
            path = bistatic_geometry(
                transmitter.position_m,
                receiver.position_m,
                point_m[own],
                np.zeros(3),
                scene.grid.wavelength_m,
            )

            snr[own] = USED_POWER * expected_snr(scene, transmitter, receiver, path)
        return snr

    def threshold_probabilities(
        self, pool: Pool, found: Solutions
    ) -> tuple[np.ndarray, np.ndarray]:
        """Probability that the path of a target exceeds the threshold of each link's station.

        pool: paths of the frame, with the thresholds
        found: states of the targets
        Returns the probability that it does, and the logarithm of the probability that it does not,
        each [num_targets, num_links], float64; 0 on links that are not used, or whose station has
        no threshold.
        """
        # Power of a path of mean SNR m is Exp(1 + m): it exceeds z with probability exp(-z/(1+m)).
        exponents = np.full((len(found.position_m), len(self.links.names)), np.inf)
        for number, name in enumerate(self.links.names):
            threshold = pool.least[self.receivers.index(name.rx)]
            if self._is_used[number] and np.isfinite(threshold):
                link = np.full(len(found.position_m), number)
                snr = self.expected_snr(link, found.position_m)
                exponents[:, number] = threshold / (1 + snr)
        exceeds = np.exp(-exponents)
        log_missed = np.log(-np.expm1(-exponents))  # log(1 - exceeds) without cancellation
        return exceeds, log_missed

    def same_echo(self, paths: PathMeasurements) -> np.ndarray:
        """Which paths of a station are one echo, [n, n], bool.

        Transmitters of one signal have the same streams: an echo has peaks in the replicas of all
        of them, at points of the same delay and angle of arrival.
        """
        # Range and Doppler shift of each path; direction cosines are the columns between.
        grid = self.scene.grid
        values = paths.values
        ranges_m = values[:, 0]
        shifts_hz = values[:, -1]

        # Pairs in one resolution cell of delay and of Doppler shift.
        apart_m = np.abs(ranges_m[:, None] - ranges_m)
        apart_hz = np.abs(shifts_hz[:, None] - shifts_hz)
        same = apart_m < SAME_CELLS * grid.range_resolution_m
        same &= apart_hz < SAME_CELLS * grid.doppler_resolution_hz

        # In one beam along each axis.
        for axis, width in enumerate(paths.beam_widths().T, start=1):
            apart = np.abs(values[:, None, axis] - values[:, axis])
            same &= apart < SAME_CELLS * width

        # Of one station; a path is one echo with itself.
        station = self.links.receiver[paths.link]
        same &= station[:, None] == station
        return same | np.eye(len(values), dtype=bool)
