"""Reports of all stations in one frame as arrays, path by path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cooperative_isac.fusion.station_position import (
    PathInformation,
    UncertainStations,
    direction_information,
    displacement_gradient,
    element_moments_m2,
    uncertain_stations,
    with_position_error,
)
from cooperative_isac.scene.geometry import (
    SPEED_OF_LIGHT_MPS,
    BistaticGeometry,
    bistatic_geometry,
)
from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.reflected import sensed_views
from cooperative_isac.scene.station import Link, Site
from cooperative_isac.sensing.information import shift_information
from cooperative_isac.sensing.known_paths import link_suppression
from cooperative_isac.sensing.report import EchoReport

# Speed of a target across the direction to a station, over the largest speed of the scene, in the
# effect of the station's position error on Doppler shifts: the velocity is not known before the
# fusion. The root mean square of velocities of any direction and of speeds up to the largest.
USUAL_SPEED_SHARE = 0.5


@dataclass(frozen=True)
class Links:
    """All pairs of transmitter and receiver of a scene's bands, as arrays.

    A band's links are counted receiver by receiver, in the order of its sites. After them come
    those by way of its reflectors, whose ends are images.

    transmitters_m: [num_links, 3], float64, m, map
    receivers_m: [num_links, 3], float64, m, map
    transmitters_mps: [num_links, 3], float64, m/s, map; None where all sites are at rest
    receivers_mps: [num_links, 3], float64, m/s, map; None where all sites are at rest
    wavelength_m: [num_links], float64, m
    view: [num_links], int, index of band and surface among the scene's sensed_views
    receiver: [num_links], int, index of the receiving station among `stations`
    stations: names of the stations that receive
    first: first link of each (band, receiver, surface)
    names: [num_links], stations and band of each link
    is_suppressed: [num_links], bool, whether static paths are suppressed in the receiver's echoes
    """

    transmitters_m: np.ndarray
    receivers_m: np.ndarray
    transmitters_mps: np.ndarray | None
    receivers_mps: np.ndarray | None
    wavelength_m: np.ndarray
    view: np.ndarray
    receiver: np.ndarray
    stations: tuple[str, ...]
    first: Mapping[tuple[str, str, int | None], int]
    names: tuple[Link, ...]
    is_suppressed: np.ndarray


def links_of(scene: Scene) -> Links:
    """The links of a scene at the present poses of its stations."""
    stations = tuple(sorted({site.name for view in scene.views for site in view.receivers}))
    index = {name: number for number, name in enumerate(stations)}

    # Band by band, directly and by way of each reflector, receiver by receiver.
    views_seen = sensed_views(scene)
    transmitters: list[Site] = []
    receivers: list[Site] = []
    views = []
    wavelengths = []
    first = {}
    is_suppressed = []
    for number, view in enumerate(views_seen):
        count = len(view.transmitters)
        for site in view.receivers:
            first[view.band, site.name, view.surface] = len(receivers)
            transmitters += view.transmitters
            receivers += [site] * count
            views += [number] * count
            is_suppressed += [link_suppression(view, site) != "keep"] * count
            wavelengths += [view.grid.wavelength_m] * count

    # Velocities only where a site moves; each of the repeated sites is asked once.
    distinct_sites = {id(site): site for site in transmitters + receivers}
    is_moving = any(site.is_moving for site in distinct_sites.values())
    return Links(
        transmitters_m=_positions_m(transmitters),
        receivers_m=_positions_m(receivers),
        transmitters_mps=_velocities_mps(transmitters) if is_moving else None,
        receivers_mps=_velocities_mps(receivers) if is_moving else None,
        wavelength_m=np.array(wavelengths),
        view=np.array(views),
        receiver=np.array([index[site.name] for site in receivers]),
        stations=stations,
        first=first,
        names=tuple(
            Link(transmitter.name, receiver.name, views_seen[number].band)
            for transmitter, receiver, number in zip(transmitters, receivers, views)
        ),
        is_suppressed=np.array(is_suppressed, bool),
    )


def _positions_m(sites: Sequence[Site]) -> np.ndarray:
    """Positions of sites, [num_sites, 3], m."""
    return np.array([site.position_m for site in sites]).reshape(-1, 3)


def _velocities_mps(sites: Sequence[Site]) -> np.ndarray:
    """Velocities of sites, [num_sites, 3], m/s."""
    return np.array([site.velocity_mps for site in sites]).reshape(-1, 3)


@dataclass(frozen=True)
class Displacement:
    """Effect of errors that reports have in common, as of uncertain positions of stations.

    information: [num_reports, D, D], float64, 1/m^2, of the location without these errors
    gradient: [num_reports, D, K], float64, m, change of the location by one standard deviation of
        each of K errors
    shift_information: [num_paths], float64, 1/Hz^2, of the Doppler shifts without these errors
    shift_gradient: [num_paths, K], float64, Hz, change of the Doppler shifts likewise
    """

    information: np.ndarray
    gradient: np.ndarray
    shift_information: np.ndarray
    shift_gradient: np.ndarray


@dataclass(frozen=True)
class Reports:
    """Reports of targets by stations, and their paths, those of a report one after another.

    links: all links of the scene
    point_m: [num_reports, 3], float64, m, map
    information: [num_reports, D, D], float64, 1/m^2, of the location, all paths together; of each
        report alone, where reports have errors in common
    link: [num_paths], int, index of each path's link
    owner: [num_paths], int, index of each path's report, rising
    doppler_hz: [num_paths], float64, Hz
    snr: [num_paths], float64, coherent, linear, at which a path has this accuracy
    snr_loss: [num_paths], float64, measured SNR over snr, linear (PathReport)
    shift_information: [num_paths], float64, 1/Hz^2, inverse variance of the Doppler shifts
    displacement: by errors that several reports may have in common; None where there are none
    """

    links: Links
    point_m: np.ndarray
    information: np.ndarray
    link: np.ndarray
    owner: np.ndarray
    doppler_hz: np.ndarray
    snr: np.ndarray
    snr_loss: np.ndarray
    shift_information: np.ndarray
    displacement: Displacement | None = None

    def __len__(self) -> int:
        return len(self.point_m)

    @property
    def station(self) -> np.ndarray:
        """Index of each report's station among links.stations, [num_reports], int."""
        return self.links.receiver[self.link[self._first]]

    @property
    def power(self) -> np.ndarray:
        """Coherent SNR of each report, summed over its paths, [num_reports], float64, linear."""
        return np.bincount(self.owner, self.snr, len(self))

    @property
    def measured_snr(self) -> np.ndarray:
        """Measured coherent SNR of each report, [num_reports], float64, linear."""
        return np.bincount(self.owner, self.snr * self.snr_loss, len(self))

    @property
    def num_paths(self) -> np.ndarray:
        """Number of paths of each report, [num_reports], int."""
        return np.bincount(self.owner, minlength=len(self))

    @property
    def own_shift_information(self) -> np.ndarray:
        """Inverse variance of the Doppler shifts without common errors, [num_paths], 1/Hz^2."""
        if self.displacement is None:
            return self.shift_information
        return self.displacement.shift_information

    @property
    def _first(self) -> np.ndarray:
        """Index of the first path of each report, [num_reports], int."""
        return np.searchsorted(self.owner, np.arange(len(self)))

    def take(self, chosen: np.ndarray) -> Reports:
        """Some of the reports, with repetitions where an index repeats.

        chosen: [num_chosen], int, indices in any order
        """
        # Old index of every path: first path of its report, and its place among them.
        counts = self.num_paths[chosen]
        owner = np.repeat(np.arange(len(chosen)), counts)
        new_first = np.cumsum(counts) - counts
        place = np.arange(len(owner)) - np.repeat(new_first, counts)
        path = np.repeat(self._first[chosen], counts) + place
        displacement = self.displacement
        if displacement is not None:
            displacement = Displacement(
                displacement.information[chosen],
                displacement.gradient[chosen],
                displacement.shift_information[path],
                displacement.shift_gradient[path],
            )
        return replace(
            self,
            point_m=self.point_m[chosen],
            information=self.information[chosen],
            link=self.link[path],
            owner=owner,
            doppler_hz=self.doppler_hz[path],
            snr=self.snr[path],
            snr_loss=self.snr_loss[path],
            shift_information=self.shift_information[path],
            displacement=displacement,
        )

    def geometry(self, points_m: np.ndarray, velocities_mps: np.ndarray) -> BistaticGeometry:
        """Delay, Doppler shift and directions of all paths at given states of their targets.

        points_m: [num_paths, 3], float64, m, map, reflecting point of each path
        velocities_mps: [num_paths, 3], float64, m/s, map, of the reflecting points
        Returns a geometry of num_paths paths.
        """
        links = self.links
        return bistatic_geometry(
            links.transmitters_m[self.link],
            links.receivers_m[self.link],
            points_m,
            velocities_mps,
            links.wavelength_m[self.link],
            _velocities_of_links(links.transmitters_mps, self.link),
            _velocities_of_links(links.receivers_mps, self.link),
        )

    def shift_gradient(self, paths: BistaticGeometry, velocities_mps: np.ndarray) -> np.ndarray:
        """Derivative of the Doppler shift of each path with the location.

        paths: of `geometry`
        velocities_mps: [3] or [num_paths, 3], float64, m/s, map, of the target
        Returns [num_paths, 3], float64, Hz/m.
        """
        links = self.links
        return paths.doppler_location_gradient(
            velocities_mps,
            links.wavelength_m[self.link],
            _velocities_of_links(links.transmitters_mps, self.link),
            _velocities_of_links(links.receivers_mps, self.link),
        )


def _velocities_of_links(velocities_mps: np.ndarray | None, link: np.ndarray) -> np.ndarray | None:
    """Velocity of the station of each path, or None where all stations are at rest.

    velocities_mps: [num_links, 3], float64, m/s, map
    link: [num_paths], int, index of the link of each path
    """
    return None if velocities_mps is None else velocities_mps[link]


def reports_of(scene: Scene, reports: Sequence[EchoReport], links: Links | None = None) -> Reports:
    """Reports as arrays, in their order, with the errors of uncertain positions of stations.

    scene: of one or several bands
    reports: of all stations
    links: of the scene, where they are known already
    """
    return with_station_errors(scene, arrays_of(scene, reports, links))


def arrays_of(scene: Scene, reports: Sequence[EchoReport], links: Links | None = None) -> Reports:
    """Reports as arrays, in their order, as if all positions of stations were exact.

    scene: of one or several bands
    reports: of all stations
    links: of the scene, where they are known already
    """
    links = links_of(scene) if links is None else links
    size = scene.dimension
    paths = [path for report in reports for path in report.paths]
    counts = [len(report.paths) for report in reports]

    # Links: the first of each report's receiver, and the transmitter of each path.
    first = [links.first[report.band, report.receiver, report.surface] for report in reports]
    transmitter = np.array([path.transmitter for path in paths], int)
    link = np.repeat(first, counts).astype(int) + transmitter

    doppler_hz = np.array([path.doppler_hz for path in paths], float)
    snr = np.array([path.power for path in paths], float)
    return Reports(
        links=links,
        point_m=np.array([report.point_m for report in reports]).reshape(-1, 3),
        information=np.array([report.information for report in reports]).reshape(-1, size, size),
        link=link,
        owner=np.repeat(np.arange(len(reports)), counts),
        doppler_hz=doppler_hz,
        snr=snr,
        snr_loss=np.array([path.snr_loss for path in paths], float),
        shift_information=shift_weights(scene, links, link, snr, doppler_hz),
    )


def joined_reports(one: Reports, other: Reports) -> Reports:
    """Reports of one scene one after another.

    Both are without displacement, as if all positions of stations were exact.
    """
    return replace(
        one,
        point_m=np.concatenate([one.point_m, other.point_m]),
        information=np.concatenate([one.information, other.information]),
        link=np.concatenate([one.link, other.link]),
        owner=np.concatenate([one.owner, len(one) + other.owner]),
        doppler_hz=np.concatenate([one.doppler_hz, other.doppler_hz]),
        snr=np.concatenate([one.snr, other.snr]),
        snr_loss=np.concatenate([one.snr_loss, other.snr_loss]),
        shift_information=np.concatenate([one.shift_information, other.shift_information]),
    )


def with_station_errors(scene: Scene, reports: Reports) -> Reports:
    """Reports with less information where positions of stations are uncertain.

    scene: of one or several bands
    reports: of all stations, as if all positions were exact
    """
    stations = uncertain_stations(scene, reports.links.names)
    if stations is None or not len(reports):
        return reports
    return _displaced(scene, reports, stations)


def _displaced(scene: Scene, reports: Reports, stations: UncertainStations) -> Reports:
    """Reports with the information that uncertain positions of stations leave to each alone."""
    # Information of each location by all of its paths, in space.
    size = reports.information.shape[-1]
    num_reports = len(reports)
    geometry = reports.geometry(reports.point_m[reports.owner], np.zeros(3))
    parts = _path_information(scene, reports, geometry)
    whole = np.zeros((num_reports, 3, 3))
    np.add.at(whole, reports.owner, parts.whole)

    # Both ends of all paths: the uncertain station there, and the change of the weighted location
    # with its position.
    transmitter = stations.transmitter[reports.link]
    receiver = stations.receiver[reports.link]
    ends = (
        (transmitter, parts.with_transmitter, geometry.tx_distance_m),
        (receiver, parts.with_receiver, geometry.rx_distance_m),
    )
    across_mps = USUAL_SPEED_SHARE * scene.sensing.max_speed_mps
    wavelength_m = reports.links.wavelength_m[reports.link]
    weighted = np.zeros((num_reports, len(stations.std_m), 3, 3))
    variance_hz2 = np.zeros(len(wavelength_m))
    for station, change, distance_m in ends:
        std_m = np.where(station >= 0, stations.std_m[station], 0.0)

        # Displacement of the location, station by station.
        places = (reports.owner, np.maximum(station, 0))
        np.add.at(weighted, places, std_m[:, None, None] * change)

        # Doppler shifts change with the direction of a target at a usual speed across it.
        variance_hz2 += (std_m * across_mps / (wavelength_m * distance_m)) ** 2

    # Gradient of each location with the errors of all stations, in standard deviations.
    displacements = weighted[:, :, :size, :size].swapaxes(1, 2)
    columns = displacements.reshape(num_reports, size, -1)
    gradient = displacement_gradient(whole[:, :size, :size], columns)
    loss = 1 + variance_hz2 * reports.shift_information
    of_shifts = np.zeros((len(reports.link), gradient.shape[-1]))
    return with_common_errors(
        replace(reports, shift_information=reports.shift_information / loss), gradient, of_shifts
    )


def with_common_errors(
    reports: Reports, gradient: np.ndarray, shift_gradient: np.ndarray
) -> Reports:
    """Reports with errors in common, by one standard deviation of each of K errors.

    gradient: [num_reports, D, K], float64, m, change of the locations
    shift_gradient: [num_paths, K], float64, Hz, change of the Doppler shifts
    """
    loss = 1 + np.sum(shift_gradient**2, axis=1) * reports.shift_information
    return replace(
        reports,
        information=with_position_error(reports.information, gradient),
        shift_information=reports.shift_information / loss,
        displacement=Displacement(
            reports.information, gradient, reports.shift_information, shift_gradient
        ),
    )


def _path_information(
    scene: Scene, reports: Reports, geometry: BistaticGeometry
) -> PathInformation:
    """Parts of the information of all paths by their SNR, bandwidths and arrays.

    Reports contain the sum of the parts alone.

    geometry: of the paths at the locations of their reports
    """
    # Ranges: twice the SNR times the mean square bandwidth.
    links = reports.links
    views = links.view[reports.link]
    views_seen = sensed_views(scene)
    bandwidths_hz2 = np.array([np.var(view.grid.subcarrier_offsets_hz) for view in views_seen])
    per_snr = 2 * (2 * np.pi / SPEED_OF_LIGHT_MPS) ** 2 * bandwidths_hz2

    # Directions: by the extents of both arrays.
    moments_m2 = [
        {
            site.name: element_moments_m2(site.elements_m)
            for site in (*view.transmitters, *view.receivers)
        }
        for view in views_seen
    ]
    names = [links.names[link] for link in reports.link]
    sent_m2 = np.array([moments_m2[view][name.tx] for view, name in zip(views, names)])
    received_m2 = np.array([moments_m2[view][name.rx] for view, name in zip(views, names)])
    wavelength_m = links.wavelength_m[reports.link]
    return PathInformation(
        range=per_snr[views] * reports.snr,
        aod=geometry.aod,
        aoa=geometry.aoa,
        arrival=direction_information(
            reports.snr, geometry.aoa, geometry.rx_distance_m, wavelength_m, received_m2
        ),
        departure=direction_information(
            reports.snr, geometry.aod, geometry.tx_distance_m, wavelength_m, sent_m2
        ),
    )


def shift_weights(
    scene: Scene, links: Links, link: np.ndarray, snr: np.ndarray, doppler_hz: np.ndarray
) -> np.ndarray:
    """Fisher information of measured Doppler shifts on the grids of their bands.

    scene: of one or several bands
    links: of the scene
    link: [num_paths], int, link of each path
    snr: [num_paths], float64, coherent, linear
    doppler_hz: [num_paths], float64, Hz
    Returns [num_paths], float64, 1/Hz^2.
    """
    view = links.view[link]
    is_suppressed = links.is_suppressed[link]
    weights = np.empty(len(snr))
    for number, band_view in enumerate(sensed_views(scene)):
        for mode, has_mode in (
            ("keep", ~is_suppressed),
            (scene.sensing.static_paths, is_suppressed),
        ):
            chosen = (view == number) & has_mode
            if chosen.any():
                weights[chosen] = shift_information(
                    band_view.grid, snr[chosen], doppler_hz[chosen], mode
                )
    return weights
