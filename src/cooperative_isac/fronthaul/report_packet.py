"""The packets of scheme local_ml: reports, quantized and bit-packed.

Format 1, for one band with at most MAX_REPORTS reports:

    header   version 4 | scene 16 | receiver 8 | frame 32 | reports 5
    report   location 16 per axis | one bit per transmitter: 1 if it has a path
    path     Doppler 16 | SNR 10 | information (fronthaul.quantize)
    trailer  CRC-32 of all bytes before it

Format 37 in fronthaul.envelope, for scenes that name their stations, more bands or reports, or
reports by way of surfaces of the world:

    payload  sections 8 | the sections
    section  band and surface 8 | reports outside the box 16 | reports 16 | the reports
    report   location 20 per axis | number of paths
    path     transmitter | Doppler 20 | SNR 10 | information

The scene's `sensing.report_bits` takes the place of 16 and of 20.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from cooperative_isac.fronthaul.bits import BitReader, BitWriter
from cooperative_isac.fronthaul.envelope import (
    VERSION_BITS,
    PacketError,
    check_header,
    checked,
    identity,
    is_wide,
    packet_format,
    seal,
    unseal,
    with_checksum,
)
from cooperative_isac.fronthaul.quantize import (
    Quantizer,
    information_fields,
    information_matrix,
    information_widths,
)
from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.reflected import reflectors
from cooperative_isac.sensing.information import doppler_information
from cooperative_isac.sensing.report import EchoReport, PathReport
from cooperative_isac.sensing.search_grid import AREA_MARGIN

# Version in the bit-packed header, which is also the number of the format.
HEADER_VERSION = 1
BANDS_FORMAT = 37
FORMATS = (HEADER_VERSION, BANDS_FORMAT)
HEADER_FIELDS = {"version": VERSION_BITS, "scene": 16, "receiver": 8, "frame": 32, "reports": 5}
MAX_REPORTS = (1 << HEADER_FIELDS["reports"]) - 1
# SNR of a path, dB.
POWER_DB = Quantizer(0.0, 80.0, 10)

# Widths of the fields of the format with bands, bits.
NUM_SECTIONS = 8
SECTION = 8
MOST_SECTIONS = 1 << SECTION
NUM_REPORTS = 16
NUM_OUTSIDE = 16
# Bits of a location axis and of a Doppler shift, unless the scene sets them: in the short format,
# and in the format with bands, whose steps are a sixteenth of those.
SHORT_WIDTH = 16
FINE_WIDTH = 20
# Largest speed of a station, m/s, which adds to that of the target in a Doppler shift: an express
# train, or a jet drone.
FASTEST_STATION_MPS = 100.0


@dataclass(frozen=True)
class ReportPacket:
    """Content of a packet.

    num_outside: number of reports that were left out, as their locations are outside the box and
    its margin
    """

    reports: tuple[EchoReport, ...]
    num_outside: int = 0


@dataclass(frozen=True)
class _Fields:
    """Fields of the reports of one band in a packet.

    view: the scene on the band
    location: quantizers of the axes
    doppler_hz: quantizer of Doppler shifts
    is_listed: each path has the number of its transmitter; otherwise a report has one bit for each
    transmitter
    """

    view: Scene
    location: tuple[Quantizer, ...]
    doppler_hz: Quantizer
    is_listed: bool

    @property
    def count_width(self) -> int:
        """Bits of the number of paths."""
        return len(self.view.transmitters).bit_length()

    @property
    def transmitter_width(self) -> int:
        """Bits of the number of a transmitter."""
        return (len(self.view.transmitters) - 1).bit_length()

    def holds(self, point_m: np.ndarray) -> bool:
        """True where a location is inside the box and its margin, so that it can be coded."""
        return all(
            quantizer.low <= value <= quantizer.high
            for quantizer, value in zip(self.location, point_m)
        )


def location_quantizers(scene: Scene, width: int = SHORT_WIDTH) -> tuple[Quantizer, ...]:
    """Quantizers of the location axes: the scene's box with a margin."""
    box = scene.box.padded(AREA_MARGIN)
    return tuple(
        Quantizer(float(box.low_m[axis]), float(box.high_m[axis]), width)
        for axis in range(scene.dimension)
    )


def doppler_quantizer(scene: Scene, width: int = SHORT_WIDTH) -> Quantizer:
    """Quantizer of Doppler shifts: up to twice the largest shift of a target in the scene.

    Where stations move, their own speeds add to it.
    """
    has_mobile = any(station.is_mobile for station in scene.stations)
    stations_mps = 2 * FASTEST_STATION_MPS if has_mobile else 0.0
    limit_hz = (4 * scene.sensing.max_speed_mps + stations_mps) / scene.grid.wavelength_m
    return Quantizer(-limit_hz, limit_hz, width)


def inside(scene: Scene, point_m: np.ndarray) -> bool:
    """True where a packet can carry a location: inside the box and its margin.

    point_m: [3], float64, m in map
    """
    return _bit_fields(scene).holds(point_m)


def count_outside(scene: Scene, reports: Sequence[EchoReport]) -> int:
    """Number of reports that a packet leaves out, as they are outside the box and its margin."""
    fields = _bit_fields(scene)
    return sum(not fields.holds(report.point_m) for report in reports)


def pack_reports(scene: Scene, receiver: str, number: int, reports: Sequence[EchoReport]) -> bytes:
    """Packet of the reports of one receiver that are inside the box and its margin.

    The short format carries up to MAX_REPORTS direct reports on the single band of a scene that is
    not wide (is_wide); all else is packed in the format with bands.

    scene: of one or several bands
    receiver: name of the receiving station
    number: of the frame
    reports: of the station; those that are outside are left out
    """
    fields = _bit_fields(scene)
    kept = [report for report in reports if fields.holds(report.point_m)]
    is_direct = all(report.surface is None for report in kept)
    has_room = len(scene.bands) == 1 and len(kept) <= MAX_REPORTS and not is_wide(scene)
    if not (is_direct and has_room):
        return _pack_bands(scene, receiver, number, reports)

    # Header, then the reports.
    writer = BitWriter()
    header = {"version": HEADER_VERSION, **identity(scene, receiver, number), "reports": len(kept)}
    for name, width in HEADER_FIELDS.items():
        writer.write(header[name], width)
    for report in kept:
        _write_report(writer, fields, report)
    return with_checksum(writer.to_bytes())


def unpack_reports(
    scene: Scene, receiver: str, number: int, packet: bytes
) -> tuple[EchoReport, ...]:
    """The reports in a packet; PacketError with the reason why it is refused."""
    return read_packet(scene, receiver, number, packet).reports


def read_packet(scene: Scene, receiver: str, number: int, packet: bytes) -> ReportPacket:
    """The content of a packet; PacketError with the reason why it is refused."""
    # Checksum, then the format.
    body = checked(receiver, packet)
    if packet_format(receiver, packet) == BANDS_FORMAT:
        return _unpack_bands(scene, receiver, number, packet)

    # Header, then the reports.
    fields = _bit_fields(scene)
    expected = {"version": HEADER_VERSION, **identity(scene, receiver, number)}
    reader = BitReader(body)
    try:
        header = {name: reader.read(width) for name, width in HEADER_FIELDS.items()}
        check_header(receiver, header, expected)
        reports = tuple(_read_report(reader, fields, receiver) for _ in range(header["reports"]))
    except EOFError as error:
        raise PacketError(receiver, f"it ends early: {error}") from error
    _check_end(reader, receiver)
    return ReportPacket(reports)


def sections(scene: Scene) -> list[tuple[str, int | None]]:
    """Bands and surfaces of reports, in the order of their numbers in packets.

    All bands come first, with reports of direct paths; then each with its reflectors.
    """
    direct = [(view.band, None) for view in scene.views]
    reflected = [(view.band, surface) for view in scene.views for surface in reflectors(view)]
    return [*direct, *reflected]


def _pack_bands(scene: Scene, receiver: str, number: int, reports: Sequence[EchoReport]) -> bytes:
    """A packet with a section for each band and surface that has reports."""
    # Those that have reports, in the order of the scene.
    with_reports = {(report.band, report.surface) for report in reports}
    present = [
        (index, section) for index, section in enumerate(sections(scene)) if section in with_reports
    ]
    writer = BitWriter()
    writer.write(len(present), NUM_SECTIONS)
    for index, section in present:
        # Reports that the packet can carry.
        band, _ = section
        fields = _listed_fields(scene.on(band))
        own = [report for report in reports if (report.band, report.surface) == section]
        kept = [report for report in own if fields.holds(report.point_m)]
        num_outside = min(len(own) - len(kept), (1 << NUM_OUTSIDE) - 1)

        # Section.
        writer.write(index, SECTION)
        writer.write(num_outside, NUM_OUTSIDE)
        writer.write(len(kept), NUM_REPORTS)
        for report in kept:
            _write_report(writer, fields, report)
    return seal(scene, BANDS_FORMAT, receiver, number, writer.to_bytes())


def _unpack_bands(scene: Scene, receiver: str, number: int, packet: bytes) -> ReportPacket:
    """The content of a packet with a section for each band and surface."""
    reader = BitReader(unseal(scene, BANDS_FORMAT, receiver, number, packet))
    known = sections(scene)
    reports: list[EchoReport] = []
    num_outside = 0
    try:
        for _ in range(reader.read(NUM_SECTIONS)):
            # Band and surface
            index = reader.read(SECTION)
            if index >= len(known):
                raise PacketError(
                    receiver, f"it names section {index} of {len(known)} (bands and surfaces)"
                )
            band, surface = known[index]
            view = scene.on(band)
            if not any(site.name == receiver for site in view.receivers):
                raise PacketError(receiver, f"it has reports of band '{view.band}'")

            # Reports
            fields = _listed_fields(view)
            num_outside += reader.read(NUM_OUTSIDE)
            for _ in range(reader.read(NUM_REPORTS)):
                report = _read_report(reader, fields, receiver)
                reports.append(replace(report, surface=surface))
    except EOFError as error:
        raise PacketError(receiver, f"it ends early: {error}") from error
    _check_end(reader, receiver)
    return ReportPacket(tuple(reports), num_outside)


def _check_end(reader: BitReader, receiver: str) -> None:
    """Raise PacketError where more than padding follows the last report."""
    if reader.left >= 8:
        raise PacketError(receiver, f"{reader.left} bits follow its last report")


def _bit_fields(scene: Scene) -> _Fields:
    """Fields of format 1."""
    width = scene.sensing.report_bits or SHORT_WIDTH
    location = location_quantizers(scene, width)
    return _Fields(scene, location, doppler_quantizer(scene, width), is_listed=False)


def _listed_fields(view: Scene) -> _Fields:
    """Fields of the format with bands."""
    width = view.sensing.report_bits or FINE_WIDTH
    location = location_quantizers(view, width)
    return _Fields(view, location, doppler_quantizer(view, width), is_listed=True)


def _write_report(writer: BitWriter, fields: _Fields, report: EchoReport) -> None:
    """Append one report, in the layout of its format (top of this file)."""
    # Location
    for quantizer, value in zip(fields.location, report.point_m):
        writer.write(quantizer.encode(value), quantizer.width)

    # Number of paths, or their transmitters.
    paths = {path.transmitter: path for path in report.paths}
    if fields.is_listed:
        writer.write(len(paths), fields.count_width)
    else:
        for transmitter in range(len(fields.view.transmitters)):
            writer.write(int(transmitter in paths), 1)

    # Paths
    for transmitter, path in sorted(paths.items()):
        if fields.is_listed:
            writer.write(transmitter, fields.transmitter_width)
        writer.write(fields.doppler_hz.encode(path.doppler_hz), fields.doppler_hz.width)
        writer.write(POWER_DB.encode(10 * np.log10(path.power)), POWER_DB.width)
        for index, width in information_fields(path.information):
            writer.write(index, width)


def _read_report(reader: BitReader, fields: _Fields, receiver: str) -> EchoReport:
    """The next report; the inverse of _write_report."""
    # Location; in a plane its height is known.
    view = fields.view
    point = np.array([0.0, 0.0, view.plane_height_m])
    for axis, quantizer in enumerate(fields.location):
        point[axis] = quantizer.decode(reader.read(quantizer.width))

    # Paths, each with its transmitter, or those whose bit is set.
    if fields.is_listed:
        count = reader.read(fields.count_width)
        paths = tuple(
            _read_path(reader, fields, reader.read(fields.transmitter_width)) for _ in range(count)
        )
        _check_transmitters(view, receiver, [path.transmitter for path in paths])
    else:
        present = [tx for tx in range(len(view.transmitters)) if reader.read(1)]
        paths = tuple(_read_path(reader, fields, transmitter) for transmitter in present)
    if not paths:
        raise PacketError(receiver, "a report has no path")

    # Steps of fields whose width the scene sets may be as large as the errors of the estimates.
    if view.sensing.report_bits is not None:
        paths = _with_rounding(fields, paths)
    return EchoReport(receiver, point, paths, view.band)


def _with_rounding(fields: _Fields, paths: Sequence[PathReport]) -> tuple[PathReport, ...]:
    """Paths of a report with the accuracy that the rounding of its fields leaves."""
    # Variances of the rounding, uniform within a step.
    location_m2 = np.diag([quantizer.step**2 / 12 for quantizer in fields.location])
    doppler_hz2 = fields.doppler_hz.step**2 / 12

    # The location is rounded once for all paths. Each carries the share of the rounding that makes
    # their sum right where their information is equal.
    path_location_m2 = len(paths) * location_m2
    size = len(location_m2)
    information_of_unit_power = doppler_information(fields.view.grid, 1.0)
    rounded = []
    for path in paths:
        # Covariance plus that of the rounding, written for the information (matrix inversion
        # lemma), which may be singular.
        reduction = np.eye(size) + path.information @ path_location_m2
        remaining = np.linalg.solve(reduction, path.information)
        symmetric = (remaining + remaining.T) / 2

        # The power at which a path has the remaining accuracy of its Doppler shift.
        loss = 1 + path.power * information_of_unit_power * doppler_hz2
        rounded.append(replace(path, power=path.power / loss, information=symmetric, snr_loss=loss))
    return tuple(rounded)


def _check_transmitters(view: Scene, receiver: str, transmitters: Sequence[int]) -> None:
    """Raise PacketError unless transmitters are those of the receiver's links, in order."""
    linked = view.linked_transmitters(receiver)
    is_ascending = all(first < second for first, second in pairwise(transmitters))
    if not is_ascending or not set(transmitters) <= set(linked):
        raise PacketError(receiver, f"a report names transmitters {list(transmitters)}")


def _read_path(reader: BitReader, fields: _Fields, transmitter: int) -> PathReport:
    """The next path of a report, from its Doppler shift on."""
    doppler_hz = fields.doppler_hz.decode(reader.read(fields.doppler_hz.width))
    power_db = POWER_DB.decode(reader.read(POWER_DB.width))
    power = 10 ** (power_db / 10)

    size = fields.view.dimension
    indices = [reader.read(width) for width in information_widths(size)]
    return PathReport(transmitter, doppler_hz, power, information_matrix(indices, size))
