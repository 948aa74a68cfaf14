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
    UnsetVariable,
    array_elements,
    build_motion,
    build_parts,
    point,
    rotation_matrix,
)
from cooperative_isac.scene.file.checks import check_file, point_fault, repeated_names
from cooperative_isac.scene.file.errors import Problem
from cooperative_isac.scene.file.physics import RATE_TOLERANCE
from cooperative_isac.scene.file.sizes import size_problems
from cooperative_isac.scene.geometry import SPEED_OF_LIGHT_MPS
from cooperative_isac.scene.model import Layout
from cooperative_isac.scene.station import (
    Antenna,
    Clock,
    Duplex,
    LinkMode,
    Pose,
    Role,
    Station,
)

# Names that ROS 2 has for topics, and that tf2 has for frames.
TOPIC = re.compile(r"/?[A-Za-z_][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)*")
FRAME = re.compile(r"[^/\s]\S*")


@dataclass(frozen=True)
class BandFile:
    """One band of a network file as a scene file of one band.

    keys: what the keys of that file are called in the network file, as pairs of pattern and text
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
        for pattern, key in self.keys:
            text = re.sub(pattern, lambda _, key=key: key, text)
        return text


def build_network(
    file: schema.NetworkFile, folder: Path
) -> tuple[dict, list[BandFile], list[Problem]]:
    """The fields of Scene of a network file, seen on its first band.

    folder: what names of trajectory files are relative to
    Returns the fields, the bands as files of their own, and the faults; without fields where there
    are faults.
    """
    faults = [
        *_names(file),
        *_bands(file),
        *_rates(file),
        *_noise(file),
        *_poses(file),
        *_path_file(file),
    ]
    if faults:
        return {}, [], faults
    stations, faults = build_stations(file, folder)
    if faults:
        return {}, [], faults

    # Each band is checked and built with the code of files of one band.
    band_files = [band_file(file, band, stations) for band in file.bands]
    for part in band_files:
        found = [*check_file(part.file, names=False), *size_problems(part.file)]
        faults.extend(part.renamed(problem) for problem in found)
    if faults:
        return {}, band_files, distinct(faults)
    built = [build_parts(part.file) for part in band_files]

    bands = tuple(
        Band(
            entry.name,
            parts["waveform"],
            parts["propagation"],
            parts["users"],
            parts["world"],
            frame_stride(file, entry),
        )
        for entry, parts in zip(file.bands, built)
    )
    layout = Layout(bands, stations)
    first = bands[0].name
    fields = {
        **built[0],
        **layout.sites(first, poses={}),
        "band": first,
        "link_mode": LinkMode(file.links),
        "layout": layout,
    }
    return fields, band_files, []


def build_stations(
    file: schema.NetworkFile, folder: Path
) -> tuple[tuple[Station, ...], list[Problem]]:
    """The stations of a network file, and the faults of those that cannot be built."""
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
            for group, works in (
                ("transmitters", duplex.transmits),
                ("receivers", duplex.receives),
            ):
                if works:
                    keys.append((rf"\b{group}\[{len(sites[group])}\]", f"stations[{place}]"))
                    sites[group].append(site)

    # The noise of the band goes before that of the scene.
    propagation = file.propagation
    noise = {
        key: value
        for key, value in (
            ("noise_power_dbm", band.noise_power_dbm),
            ("noise_figure_db", band.noise_figure_db),
        )
        if value is not None
    }
    if noise:
        propagation = propagation.model_copy(update={"noise_figure_db": None, **noise})

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
    turn = entry.orientation
    mounting = rotation_matrix(turn.yaw_deg, turn.pitch_deg, turn.roll_deg)
    clock = entry.clock
    still = Station(
        name=entry.name,
        role=Role(entry.role),
        pose=Pose(point(entry.position_m or [0.0, 0.0, 0.0], height_m), mounting),
        antennas=tuple(_antenna(antenna, carriers) for antenna in entry.antennas),
        motion=build_motion(entry.motion, folder, height_m) if entry.motion else None,
        mounting=mounting,
        odometry=entry.odometry or "",
        tf_frame=entry.tf_frame or "",
        area=entry.area or "",
        operator=entry.operator or "",
        clock=Clock(
            clock.timing_offset_s,
            clock.timing_drift,
            clock.frequency_offset_hz,
            clock.frequency_drift_hzps,
            math.radians(clock.phase_offset_deg),
        ),
        residual_self_interference_db=entry.residual_self_interference_db,
        scheme=entry.scheme or "",
    )
    still.pose_at(0.0)
    return still


def _antenna(entry: schema.AntennaEntry, carriers: dict[str, float]) -> Antenna:
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
    """Stations, bands and targets have names of their own; antennas are of bands that exist."""
    for group in ("bands", "stations", "targets"):
        entries = enumerate(getattr(file, group))
        yield from repeated_names([(f"{group}[{i}].name", entry.name) for i, entry in entries])
    bands = [band.name for band in file.bands]
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
    """On each band some pair of stations senses."""
    mode = LinkMode(file.links)
    for index, band in enumerate(file.bands):
        senders = []
        listeners = []
        for station in file.stations:
            for antenna in station.antennas:
                if antenna.band == band.name and Duplex(antenna.duplex).transmits:
                    senders.append(station.name)
                if antenna.band == band.name and Duplex(antenna.duplex).receives:
                    listeners.append(station.name)
        for names, action in ((senders, "transmits"), (listeners, "receives")):
            if not names:
                yield Problem(
                    f"bands[{index}].name",
                    f"'{band.name}' has no station that {action}; give some station an antenna "
                    "with that band and a duplex that does",
                )
        if senders and listeners and not any(mode.allows(s, r) for s in senders for r in listeners):
            yield Problem(
                "links",
                f"is '{mode}', which leaves band '{band.name}' without a link: it is transmitted "
                f"by {', '.join(senders)} and received by {', '.join(listeners)}",
            )


def _rates(file: schema.NetworkFile) -> Iterator[Problem]:
    """Every band is on the air in each n-th frame of the scene."""
    for index, band in enumerate(file.bands):
        rate = file.update_rate_hz if band.frame_rate_hz is None else band.frame_rate_hz
        frames = file.update_rate_hz / rate
        if frames < 1 - RATE_TOLERANCE or abs(frames - round(frames)) > RATE_TOLERANCE * frames:
            yield Problem(
                f"bands[{index}].frame_rate_hz",
                f"is {rate:g}; must be update_rate_hz ({file.update_rate_hz:g}) or it divided by a "
                "whole number, as the bands share the frames of the scene",
            )
    if not any(frame_stride(file, band) == 1 for band in file.bands):
        yield Problem(
            "update_rate_hz",
            f"is {file.update_rate_hz:g}, but no band has that frame_rate_hz; give it the rate of "
            "the fastest band",
        )


def _noise(file: schema.NetworkFile) -> Iterator[Problem]:
    """Every band says its noise in one way."""
    for index, band in enumerate(file.bands):
        if band.noise_figure_db is not None and band.noise_power_dbm is not None:
            yield Problem(
                f"bands[{index}].noise_figure_db",
                f"is {band.noise_figure_db:g} beside noise_power_dbm ({band.noise_power_dbm:g}); "
                "give one of the two keys",
            )


def _poses(file: schema.NetworkFile) -> Iterator[Problem]:
    """Every station has a place, from one source."""
    for index, station in enumerate(file.stations):
        key = f"stations[{index}]"
        sources = [
            name
            for name in ("motion", "odometry", "tf_frame")
            if getattr(station, name) is not None
        ]
        if len(sources) > 1:
            yield Problem(key, f"has {' and '.join(sources)}; its pose needs one source")
        yield from _sources(station, key)
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


def _sources(station: schema.StationEntry, key: str) -> Iterator[Problem]:
    """The names that a station follows are some that ROS 2 can have."""
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
    if file.propagation.paths is not None:
        yield Problem(
            "propagation.paths",
            "is of one carrier and of sites that stand; it goes with waveform, transmitters and "
            "receivers, not with bands and stations",
        )
