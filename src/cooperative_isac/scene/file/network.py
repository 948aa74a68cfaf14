"""Scene files of bands and stations: each band is checked and built as a scene of its own."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cooperative_isac.scene.band import Band
from cooperative_isac.scene.file import schema
from cooperative_isac.scene.file.build import (
    array_elements,
    build_parts,
    point,
    rotation_matrix,
)
from cooperative_isac.scene.file.build_cooperation import build_cooperation
from cooperative_isac.scene.file.build_motion import build_motion
from cooperative_isac.scene.file.checks import check_file, point_fault, repeated_names
from cooperative_isac.scene.file.cooperation_checks import cooperation_faults
from cooperative_isac.scene.file.errors import Problem
from cooperative_isac.scene.file.interferer_checks import (
    interferer_bands,
    interferer_names,
    on_band,
)
from cooperative_isac.scene.file.physics import RATE_TOLERANCE
from cooperative_isac.scene.file.sizes import size_problems
from cooperative_isac.scene.file.variables import UnsetVariable
from cooperative_isac.scene.geometry import SPEED_OF_LIGHT_MPS
from cooperative_isac.scene.layout import Layout
from cooperative_isac.scene.station import (
    Antenna,
    Clock,
    Duplex,
    LinkMode,
    Pose,
    Role,
    Station,
)

# Valid names of topics in ROS 2, and of frames in tf2.
TOPIC = re.compile(r"/?[A-Za-z_][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)*")
FRAME = re.compile(r"[^/\s]\S*")


@dataclass(frozen=True)
class BandFile:
    """One band of a network file as a scene file of one band.

    keys: pairs of a pattern of that file's keys, and the key of the network file for it
    """

    band: schema.BandEntry
    file: schema.SceneFile
    keys: tuple[tuple[str, str], ...]

    def renamed(self, problem: Problem) -> Problem:
        """A fault with the keys of the network file."""
        is_list = problem.key in ("transmitters", "receivers")
        key = "stations" if is_list else self._renamed(problem.key)
        return Problem(key, self._renamed(problem.text))

    def _renamed(self, text: str) -> str:
        """A text with the keys of the network file."""
        for pattern, key in self.keys:
            text = re.sub(pattern, lambda _, key=key: key, text)
        return text


def build_network(
    file: schema.NetworkFile, folder: Path
) -> tuple[dict, list[BandFile], list[Problem]]:
    """The fields of Scene of a network file, seen on its first band.

    folder: of the scene file, to which trajectory files are relative
    Returns the fields, the bands as files of their own, and the faults; there are no fields if
    there are faults.
    """
    # Check keys, then build the stations.
    faults = [
        *_names(file),
        *_bands(file),
        *_rates(file),
        *_noise(file),
        *_poses(file),
        *_path_file(file),
        *cooperation_faults(file),
    ]
    if faults:
        return {}, [], faults
    stations, faults = build_stations(file, folder)
    if faults:
        return {}, [], faults

    # Check and build each band with the code for files of one band.
    band_files = [band_file(file, band, stations) for band in file.bands]
    for part in band_files:
        found = [*check_file(part.file, names=False), *size_problems(part.file)]
        faults.extend(part.renamed(problem) for problem in found)
    if faults:
        return {}, band_files, distinct(faults)
    built = [build_parts(part.file) for part in band_files]
    bands = tuple(
        Band(
            name=entry.name,
            waveform=parts["waveform"],
            propagation=parts["propagation"],
            users=parts["users"],
            world=parts["world"],
            frame_stride=frame_stride(file, entry),
            zone=entry.zone or "",
        )
        for entry, parts in zip(file.bands, built)
    )

    # The scene is seen on its first band.
    layout = Layout(bands, stations)
    first = bands[0].name
    fields = {
        **built[0],
        **layout.sites(first, poses={}),
        "band": first,
        "link_mode": LinkMode(file.links),
        "layout": layout,
        "cooperation": build_cooperation(file, stations),
    }
    return fields, band_files, []


def build_stations(
    file: schema.NetworkFile, folder: Path
) -> tuple[tuple[Station, ...], list[Problem]]:
    """The stations of a network file, and the faults of those that cannot be built.

    folder: of the scene file, to which trajectory files are relative
    """
    carriers = {band.name: band.carrier_hz for band in file.bands}
    stations = []
    problems = []
    for index, entry in enumerate(file.stations):
        try:
            stations.append(_station(entry, carriers, folder, file.plane_height_m))
        except (UnsetVariable, ValueError) as error:
            problems.append(Problem(f"stations[{index}].motion", str(error)))
    return tuple(stations), problems


def band_file(
    file: schema.NetworkFile, band: schema.BandEntry, stations: tuple[Station, ...]
) -> BandFile:
    """One band of a network file as a scene file of one band, with the stations at time 0."""
    # Sites of the stations on the band, and the keys of both.
    sites: dict[str, list[schema.SiteEntry]] = {"transmitters": [], "receivers": []}
    index = file.bands.index(band)
    keys = [
        (r"\bwaveform\b", f"bands[{index}]"),
        (r"^(transmitters|receivers)$", "stations"),
    ]
    for place, (entry, station) in enumerate(zip(file.stations, stations)):
        for antenna in entry.antennas:
            if antenna.band != band.name:
                continue
            site = schema.SiteEntry(
                name=entry.name,
                position_m=list(map(float, station.pose_at(0.0).position_m)),
                orientation=entry.orientation,
                array=antenna.array,
            )
            duplex = Duplex(antenna.duplex)
            groups = []
            if duplex.transmits:
                groups.append("transmitters")
            if duplex.receives:
                groups.append("receivers")
            for group in groups:
                keys.append((rf"\b{group}\[{len(sites[group])}\]", f"stations[{place}]"))
                sites[group].append(site)

    # Interferers of the band, and their keys.
    propagation, interferer_keys = on_band(file.propagation, band.name)
    keys += interferer_keys

    # The noise of the band replaces that of the scene.
    noise: dict[str, float | None] = {}
    if band.noise_power_dbm is not None:
        noise = {"noise_power_dbm": band.noise_power_dbm, "noise_figure_db": None}
    elif band.noise_figure_db is not None:
        noise = {"noise_figure_db": band.noise_figure_db}
    if noise:
        propagation = propagation.model_copy(update=noise)

    common = {key: getattr(file, key) for key in schema.CommonKeys.model_fields}
    waveform = {key: getattr(band, key) for key in schema.WaveformEntry.model_fields}
    whole: dict[str, Any] = {
        **common,
        "propagation": propagation,
        "waveform": schema.WaveformEntry(**waveform),
        **sites,
    }
    return BandFile(band, schema.SceneFile(**whole), tuple(keys))


def frame_stride(file: schema.NetworkFile, band: schema.BandEntry) -> int:
    """Frames of the scene from one frame of a band to the next."""
    return round(file.update_rate_hz / (band.frame_rate_hz or file.update_rate_hz))


def distinct(problems: list[Problem]) -> list[Problem]:
    """Faults without those that several bands have in common."""
    return list(dict.fromkeys(problems))


def _station(
    entry: schema.StationEntry, carriers: dict[str, float], folder: Path, height_m: float
) -> Station:
    """A station of the file.

    carriers: of the bands by name, Hz
    folder: of the scene file, to which trajectory files are relative
    height_m: z of points without one, m
    Raises ValueError: its motion cannot be built, or is not defined at time 0.
    """
    turn = entry.orientation
    mounting = rotation_matrix(turn.yaw_deg, turn.pitch_deg, turn.roll_deg)
    motion = None
    if entry.motion:
        motion = build_motion(entry.motion, folder, height_m)
    clock = entry.clock
    station = Station(
        name=entry.name,
        role=Role(entry.role),
        pose=Pose(point(entry.position_m or [0.0, 0.0, 0.0], height_m), mounting),
        antennas=tuple(_antenna(antenna, carriers) for antenna in entry.antennas),
        motion=motion,
        mounting=mounting,
        odometry=entry.odometry or "",
        tf_frame=entry.tf_frame or "",
        area=entry.area or "",
        operator=entry.operator or "",
        clock=Clock(
            timing_offset_s=clock.timing_offset_s,
            timing_drift=clock.timing_drift,
            frequency_offset_hz=clock.frequency_offset_hz,
            frequency_drift_hzps=clock.frequency_drift_hzps,
            phase_offset_rad=math.radians(clock.phase_offset_deg),
        ),
        residual_self_interference_db=entry.residual_self_interference_db,
        scheme=entry.scheme or "",
        position_std_m=entry.position_std_m,
    )
    station.pose_at(0.0)  # raises ValueError where its motion has no state
    return station


def _antenna(entry: schema.AntennaEntry, carriers: dict[str, float]) -> Antenna:
    """A station's array on one band.

    carriers: of the bands by name, Hz
    """
    turn = entry.orientation
    return Antenna(
        band=entry.band,
        elements_m=array_elements(entry.array, SPEED_OF_LIGHT_MPS / carriers[entry.band]),
        kind=entry.array.kind,
        duplex=Duplex(entry.duplex),
        pattern=entry.array.pattern,
        rotation=rotation_matrix(turn.yaw_deg, turn.pitch_deg, turn.roll_deg),
    )


def _names(file: schema.NetworkFile) -> Iterator[Problem]:
    """All have different names; antennas and interferers are of bands that exist."""
    for group in ("bands", "stations", "targets"):
        entries = enumerate(getattr(file, group))
        named = [(f"{group}[{i}].name", entry.name) for i, entry in entries]
        if group == "stations":
            named += interferer_names(file.propagation)
        yield from repeated_names(named)

    # One array of a station on each of its bands.
    bands = [band.name for band in file.bands]
    yield from interferer_bands(file.propagation, bands)
    for place, station in enumerate(file.stations):
        seen: set[str] = set()
        for index, antenna in enumerate(station.antennas):
            key = f"stations[{place}].antennas[{index}].band"
            if antenna.band not in bands:
                yield Problem(key, f"is '{antenna.band}'; allowed: {', '.join(bands)}")
            elif antenna.band in seen:
                yield Problem(
                    key,
                    f"is '{antenna.band}', on which the station has an array already; give it "
                    "one array a band",
                )
            seen.add(antenna.band)


def _bands(file: schema.NetworkFile) -> Iterator[Problem]:
    """Each band has some pair of stations that sense together."""
    mode = LinkMode(file.links)
    for index, band in enumerate(file.bands):
        # Stations that transmit and receive on the band.
        transmitters = []
        receivers = []
        for station in file.stations:
            for antenna in station.antennas:
                if antenna.band == band.name and Duplex(antenna.duplex).transmits:
                    transmitters.append(station.name)
                if antenna.band == band.name and Duplex(antenna.duplex).receives:
                    receivers.append(station.name)
        for names, action in ((transmitters, "transmits"), (receivers, "receives")):
            if not names:
                yield Problem(
                    f"bands[{index}].name",
                    f"'{band.name}' has no station that {action}; give some station an antenna "
                    "with that band and a duplex that does",
                )

        # Pairs that the link mode allows.
        pairs = [(tx, rx) for tx in transmitters for rx in receivers]
        if pairs and not any(mode.allows(tx, rx) for tx, rx in pairs):
            yield Problem(
                "links",
                f"is '{mode}', which leaves band '{band.name}' without a link: it is transmitted "
                f"by {', '.join(transmitters)} and received by {', '.join(receivers)}",
            )


def _rates(file: schema.NetworkFile) -> Iterator[Problem]:
    """Every band is on the air in each n-th frame of the scene, and some band in every frame."""
    for index, band in enumerate(file.bands):
        rate_hz = file.update_rate_hz if band.frame_rate_hz is None else band.frame_rate_hz

        # Frames of the scene from one of the band to the next: a whole number.
        frames = file.update_rate_hz / rate_hz
        if frames < 1 - RATE_TOLERANCE or abs(frames - round(frames)) > RATE_TOLERANCE * frames:
            yield Problem(
                f"bands[{index}].frame_rate_hz",
                f"is {rate_hz:g}; must be update_rate_hz ({file.update_rate_hz:g}) or it divided "
                "by a whole number, as the bands share the frames of the scene",
            )

    # The fastest band has the rate of the scene.
    if not any(frame_stride(file, band) == 1 for band in file.bands):
        yield Problem(
            "update_rate_hz",
            f"is {file.update_rate_hz:g}, but no band has that frame_rate_hz; give it the rate of "
            "the fastest band",
        )


def _noise(file: schema.NetworkFile) -> Iterator[Problem]:
    """The noise of a band is a power or a noise figure."""
    for index, band in enumerate(file.bands):
        if band.noise_figure_db is not None and band.noise_power_dbm is not None:
            yield Problem(
                f"bands[{index}].noise_figure_db",
                f"is {band.noise_figure_db:g} beside noise_power_dbm ({band.noise_power_dbm:g}); "
                "give one of the two keys",
            )


def _poses(file: schema.NetworkFile) -> Iterator[Problem]:
    """Every station has a pose, from one source."""
    for index, station in enumerate(file.stations):
        key = f"stations[{index}]"

        # Motion, odometry or /tf.
        sources = [
            name
            for name in ("motion", "odometry", "tf_frame")
            if getattr(station, name) is not None
        ]
        if len(sources) > 1:
            yield Problem(key, f"has {' and '.join(sources)}; its pose needs one source")
        yield from _sources(station, key)

        # Position, unless it has a motion.
        if station.position_m is None and station.motion is None:
            yield Problem(
                f"{key}.position_m",
                "is missing; needed for a station without motion (where it starts, for one that "
                "follows odometry or tf_frame)",
            )
        if station.position_m is not None and station.motion is not None:
            yield Problem(f"{key}.position_m", "is where motion is already; give one of the two")
        if station.position_m is not None:
            fault = point_fault(file.dimension, station.position_m, file.plane_height_m)
            if fault is not None:
                yield Problem(f"{key}.position_m", fault)

        # An uncertain position is that of a station under way.
        if station.position_std_m > 0 and not sources:
            yield Problem(
                f"{key}.position_std_m",
                f"is {station.position_std_m:g}, but the station stands; remove it, or give "
                "the station motion, odometry or tf_frame",
            )


def _sources(station: schema.StationEntry, key: str) -> Iterator[Problem]:
    """The topic or frame that a station follows has a name that is valid in ROS 2."""
    if station.odometry is not None and not TOPIC.fullmatch(station.odometry):
        yield Problem(
            f"{key}.odometry",
            f"is '{station.odometry}'; must be the name of a topic: letters, digits and '_' "
            "between single '/', no digit at the beginning of a part",
        )
    if station.tf_frame is not None and not FRAME.fullmatch(station.tf_frame):
        yield Problem(
            f"{key}.tf_frame",
            f"is '{station.tf_frame}'; must be the name of a frame of /tf: no blanks, and no '/' "
            "at its beginning",
        )


def _path_file(file: schema.NetworkFile) -> Iterator[Problem]:
    """A path file goes with scene files of one band only."""
    if file.propagation.paths is not None:
        yield Problem(
            "propagation.paths",
            "is of one carrier and of sites that stand; it goes with waveform, transmitters and "
            "receivers, not with bands and stations",
        )
