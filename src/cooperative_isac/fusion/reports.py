"""Reports of all stations in one frame as arrays, path by path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cooperative_isac.fusion.station_position import displacement_gradient, with_position_error
from cooperative_isac.scene.geometry import BistaticGeometry, bistatic_geometry
from cooperative_isac.scene.model import Scene, Site
from cooperative_isac.scene.station import Link
from cooperative_isac.sensing.information import shift_information
from cooperative_isac.sensing.report import EchoReport

# Speed of a target across the direction to a station, over the largest speed of the scene, in the
# effect of the station's position error on Doppler shifts: the velocity is not known before the
# fusion. The root mean square of velocities of any direction and of speeds up to the largest.
USUAL_SPEED_SHARE = 0.5


@dataclass(frozen=True)
class Links:
    """All pairs of transmitter and receiver of a scene's bands, as arrays.

    A band's links are counted receiver by receiver, in the order of its sites.

    transmitters_m, receivers_m: [num_links, 3], float64, m
    transmitters_mps, receivers_mps: [num_links, 3], float64, m/s; None where all sites are at rest
    wavelength_m: [num_links], float64
    view: [num_links], int, index of the band among the scene's views
    receiver: [num_links], int, index of the receiving station among `stations`
    stations: names of the stations that receive
    first: first link of each (band, receiver)
    names: [num_links], stations and band of each link
    """

    transmitters_m: np.ndarray
    receivers_m: np.ndarray
    transmitters_mps: np.ndarray | None
    receivers_mps: np.ndarray | None
    wavelength_m: np.ndarray
    view: np.ndarray
    receiver: np.ndarray
    stations: tuple[str, ...]
    first: Mapping[tuple[str, str], int]
    names: tuple[Link, ...]


def links_of(scene: Scene) -> Links:
    """The links of a scene, with its stations where they are."""
    stations = tuple(sorted({site.name for view in scene.views for site in view.receivers}))
    index = {name: number for number, name in enumerate(stations)}
    transmitters: list[Site] = []
    receivers: list[Site] = []
    views = []
    wavelengths = []
    first = {}
    for number, view in enumerate(scene.views):
        count = len(view.transmitters)
        for site in view.receivers:
            first[view.band, site.name] = len(receivers)
            transmitters += view.transmitters
            receivers += [site] * count
            views += [number] * count
            wavelengths += [view.grid.wavelength_m] * count

    is_moving = any(
        site.is_moving for site in {id(s): s for s in transmitters + receivers}.values()
    )
    return Links(
        transmitters_m=_places(transmitters),
        receivers_m=_places(receivers),
        transmitters_mps=_velocities(transmitters) if is_moving else None,
        receivers_mps=_velocities(receivers) if is_moving else None,
        wavelength_m=np.array(wavelengths),
        view=np.array(views),
        receiver=np.array([index[site.name] for site in receivers]),
        stations=stations,
        first=first,
        names=tuple(
            Link(transmitter.name, receiver.name, scene.views[number].band)
            for transmitter, receiver, number in zip(transmitters, receivers, views)
        ),
    )


def _places(sites: Sequence[Site]) -> np.ndarray:
    return np.array([site.position_m for site in sites]).reshape(-1, 3)


def _velocities(sites: Sequence[Site]) -> np.ndarray:
    return np.array([site.velocity_mps for site in sites]).reshape(-1, 3)


@dataclass(frozen=True)
class Reports:
    """Reports of targets by stations: n reports with p paths in all, those of a report in a row.

    links: that `link` counts
    point_m: [n, 3], float64, m in map
    information: [n, D, D], float64, 1/m^2, of the location, all paths together
    link: [p], int
    owner: [p], int, report of each path, rising
    doppler_hz: [p], float64, Hz
    snr: [p], float64, coherent, linear
    shift_information: [p], float64, 1/Hz^2, inverse variance of the Doppler shifts
    """

    links: Links
    point_m: np.ndarray
    information: np.ndarray
    link: np.ndarray
    owner: np.ndarray
    doppler_hz: np.ndarray
    snr: np.ndarray
    shift_information: np.ndarray

    def __len__(self) -> int:
        return len(self.point_m)

    @property
    def station(self) -> np.ndarray:
        """Index of each report's station among links.stations, [n], int."""
        return self.links.receiver[self.link[self._first]]

    @property
    def power(self) -> np.ndarray:
        """Coherent SNR of each report, summed over its paths, [n], float64."""
        return np.bincount(self.owner, self.snr, len(self))

    @property
    def num_paths(self) -> np.ndarray:
        """Number of paths of each report, [n], int."""
        return np.bincount(self.owner, minlength=len(self))

    @property
    def _first(self) -> np.ndarray:
        """First path of each report, [n], int."""
        return np.searchsorted(self.owner, np.arange(len(self)))

    def take(self, chosen: np.ndarray) -> Reports:
        """Some of the reports, also several times.

        chosen: [m], int, indices in any order
        """
        counts = self.num_paths[chosen]
        owner = np.repeat(np.arange(len(chosen)), counts)
        within = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
        path = np.repeat(self._first[chosen], counts) + within
        return replace(
            self,
            point_m=self.point_m[chosen],
            information=self.information[chosen],
            link=self.link[path],
            owner=owner,
            doppler_hz=self.doppler_hz[path],
            snr=self.snr[path],
            shift_information=self.shift_information[path],
        )

    def geometry(self, points_m: np.ndarray, velocities_mps: np.ndarray) -> BistaticGeometry:
        """Geometry of all paths, of one point and velocity each, [p, 3]."""
        links = self.links
        return bistatic_geometry(
            links.transmitters_m[self.link],
            links.receivers_m[self.link],
            points_m,
            velocities_mps,
            links.wavelength_m[self.link],
            _chosen(links.transmitters_mps, self.link),
            _chosen(links.receivers_mps, self.link),
        )

    def shift_gradient(self, paths: BistaticGeometry, velocities_mps: np.ndarray) -> np.ndarray:
        """Derivative of the Doppler shift of each path with the location, [p, 3], Hz/m.

        paths: of `geometry`
        velocities_mps: [3] or [p, 3], float64, of the target
        """
        links = self.links
        return paths.doppler_location_gradient(
            velocities_mps,
            links.wavelength_m[self.link],
            _chosen(links.transmitters_mps, self.link),
            _chosen(links.receivers_mps, self.link),
        )


def _chosen(velocities_mps: np.ndarray | None, link: np.ndarray) -> np.ndarray | None:
    return None if velocities_mps is None else velocities_mps[link]


def reports_of(scene: Scene, reports: Sequence[EchoReport], links: Links | None = None) -> Reports:
    """Reports as arrays, in their order.

    links: of the scene, where they are known already
    """
    links = links_of(scene) if links is None else links
    size = scene.dimension
    paths = [path for report in reports for path in report.paths]
    counts = [len(report.paths) for report in reports]
    first = np.repeat(
        [links.first[report.band, report.receiver] for report in reports], counts
    ).astype(int)
    link = first + np.array([path.transmitter for path in paths], int)
    doppler_hz = np.array([path.doppler_hz for path in paths], float)
    snr = np.array([path.power for path in paths], float)
    arrays = Reports(
        links=links,
        point_m=np.array([report.point_m for report in reports]).reshape(-1, 3),
        information=np.array([report.information for report in reports]).reshape(-1, size, size),
        link=link,
        owner=np.repeat(np.arange(len(reports)), counts),
        doppler_hz=doppler_hz,
        snr=snr,
        shift_information=shift_weights(scene, links.view[link], snr, doppler_hz),
    )

    # Less information from stations whose position is uncertain.
    position_std_m = {station.name: station.position_std_m for station in scene.stations}
    stds_m = np.array([position_std_m[report.receiver] for report in reports])
    if not stds_m.any():
        return arrays
    return _displaced(scene, arrays, stds_m)


def _displaced(scene: Scene, reports: Reports, position_std_m: np.ndarray) -> Reports:
    """Reports with the information that uncertain positions of their stations leave.

    position_std_m: [n], float64, m, of the station of each report
    """
    geometry = reports.geometry(reports.point_m[reports.owner], np.zeros(3))

    # Locations move with the station; all paths of a report count alike.
    size = reports.information.shape[-1]
    gradients = displacement_gradient(geometry.aod, geometry.aoa)
    mean = np.zeros((len(reports), 3, 3))
    np.add.at(mean, reports.owner, gradients)
    mean /= reports.num_paths[:, None, None]
    information = with_position_error(reports.information, mean[:, :size, :size], position_std_m)

    # Doppler shifts change with the direction of a target at a usual speed across it.
    across_mps = USUAL_SPEED_SHARE * scene.sensing.max_speed_mps
    wavelength_m = reports.links.wavelength_m[reports.link]
    slope_hz_per_m = across_mps / (wavelength_m * geometry.rx_distance_m)
    variance_hz2 = (position_std_m[reports.owner] * slope_hz_per_m) ** 2
    shifts = reports.shift_information / (1 + variance_hz2 * reports.shift_information)
    return replace(reports, information=information, shift_information=shifts)


def shift_weights(
    scene: Scene, view: np.ndarray, snr: np.ndarray, doppler_hz: np.ndarray
) -> np.ndarray:
    """Fisher information of measured Doppler shifts on the grids of their bands, [p], 1/Hz^2.

    view: [p], int, band of each path among the scene's views
    snr, doppler_hz: [p], float64
    """
    weights = np.empty(len(snr))
    for number, seen in enumerate(scene.views):
        own = view == number
        if own.any():
            weights[own] = shift_information(
                seen.grid, snr[own], doppler_hz[own], scene.sensing.static_paths
            )
    return weights
