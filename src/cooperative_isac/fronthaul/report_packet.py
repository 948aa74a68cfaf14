"""The packet of scheme local_ml: echo reports, quantized and bit-packed behind a versioned header.

header   version 4 | scene 16 | receiver 8 | frame 32 | reports 5
report   location 16 per axis | one bit per transmitter: heard?
path     Doppler 16 | SNR 10 | information (fronthaul.quantize)
trailer  CRC-32 of all bytes before it
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cooperative_isac.fronthaul.bits import BitReader, BitWriter
from cooperative_isac.fronthaul.envelope import (
    PacketError,
    check_header,
    checked,
    identity,
    with_checksum,
)
from cooperative_isac.fronthaul.quantize import (
    Quantizer,
    information_fields,
    information_matrix,
    information_widths,
)
from cooperative_isac.scene.model import Scene
from cooperative_isac.sensing.report import EchoReport, PathReport
from cooperative_isac.sensing.search_grid import AREA_MARGIN

VERSION = 1
HEADER = {"version": 4, "scene": 16, "receiver": 8, "frame": 32, "reports": 5}
MAX_REPORTS = (1 << HEADER["reports"]) - 1
POWER_DB = Quantizer(0.0, 80.0, 10)


def location_quantizers(scene: Scene) -> tuple[Quantizer, ...]:
    """Quantizers of the location axes: the scene's area with a margin."""
    area = scene.box.padded(AREA_MARGIN)
    return tuple(
        Quantizer(float(area.low_m[axis]), float(area.high_m[axis]), 16)
        for axis in range(scene.dimension)
    )


def doppler_quantizer(scene: Scene) -> Quantizer:
    """Quantizer of Doppler shifts: twice what the scene's maximum speed can give."""
    limit = 4 * scene.sensing.max_speed_mps / scene.grid.wavelength_m
    return Quantizer(-limit, limit, 16)


def inside(scene: Scene, point_m: np.ndarray) -> bool:
    """Whether a packet can tell the location: the area and its margin."""
    return all(q.low <= value <= q.high for q, value in zip(location_quantizers(scene), point_m))


def pack_reports(scene: Scene, receiver: str, number: int, reports: Sequence[EchoReport]) -> bytes:
    """Reports of one receiver in frame `number` as a packet; the strongest MAX_REPORTS of those in
    the area.
    """
    kept = [report for report in reports if inside(scene, report.point_m)][:MAX_REPORTS]
    writer = BitWriter()
    header = {"version": VERSION, **identity(scene, receiver, number), "reports": len(kept)}
    for name, width in HEADER.items():
        writer.write(header[name], width)
    for report in kept:
        _write_report(writer, scene, report)
    return with_checksum(writer.to_bytes())


def unpack_reports(
    scene: Scene, receiver: str, number: int, packet: bytes
) -> tuple[EchoReport, ...]:
    """The reports in a packet. PacketError says why one is refused."""
    reader = BitReader(checked(receiver, packet))
    try:
        header = {name: reader.read(width) for name, width in HEADER.items()}
        check_header(receiver, header, {"version": VERSION, **identity(scene, receiver, number)})
        reports = tuple(_read_report(reader, scene, receiver) for _ in range(header["reports"]))
    except EOFError as error:
        raise PacketError(receiver, f"it ends early: {error}") from error
    if reader.left >= 8:
        raise PacketError(receiver, f"{reader.left} bits follow its last report")
    return reports


def _write_report(writer: BitWriter, scene: Scene, report: EchoReport) -> None:
    for quantizer, value in zip(location_quantizers(scene), report.point_m):
        writer.write(quantizer.encode(value), quantizer.width)
    heard = {path.transmitter: path for path in report.paths}
    for transmitter in range(len(scene.transmitters)):
        writer.write(int(transmitter in heard), 1)
    for _, path in sorted(heard.items()):
        writer.write(doppler_quantizer(scene).encode(path.doppler_hz), 16)
        writer.write(POWER_DB.encode(10 * np.log10(path.power)), POWER_DB.width)
        for index, width in information_fields(path.information):
            writer.write(index, width)


def _read_report(reader: BitReader, scene: Scene, receiver: str) -> EchoReport:
    point = np.array([0.0, 0.0, scene.plane_height_m])
    for axis, quantizer in enumerate(location_quantizers(scene)):
        point[axis] = quantizer.decode(reader.read(quantizer.width))
    heard = [tx for tx in range(len(scene.transmitters)) if reader.read(1)]
    if not heard:
        raise PacketError(receiver, "a report has no path")
    return EchoReport(receiver, point, tuple(_read_path(reader, scene, tx) for tx in heard))


def _read_path(reader: BitReader, scene: Scene, transmitter: int) -> PathReport:
    doppler = doppler_quantizer(scene).decode(reader.read(16))
    power = 10 ** (POWER_DB.decode(reader.read(POWER_DB.width)) / 10)
    indices = [reader.read(width) for width in information_widths(scene.dimension)]
    return PathReport(transmitter, doppler, power, information_matrix(indices, scene.dimension))
