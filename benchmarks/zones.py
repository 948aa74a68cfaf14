"""What the choice of links by zones brings and saves in the scene bs_ue_zones (DC section IV-C).

A UAV flies away from the base station, once with the links of its zone, once with all links, and
once with each kind of cooperation alone. 112 frames are its way through all three zones. Packets of
UEs arrive within the range of their radio, or all with --unlimited.

python benchmarks/zones.py [--frames N] [--seeds S [S ...]] [--variants zones all A B C]
    [--unlimited]
"""

import argparse
import os
import time
from collections import defaultdict
from dataclasses import dataclass, field, replace

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from cooperative_isac.fronthaul.delivery import deliver, result_sender
from cooperative_isac.metrics.consistency import nees
from cooperative_isac.metrics.run_score import DETECTION_CUTOFF_M, RunScore
from cooperative_isac.pipeline import make_encoders, make_frame, receive
from cooperative_isac.scene.cooperation import ZONES
from cooperative_isac.scene.draw import scene_targets
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.schemes.registry import make_scheme
from cooperative_isac.tracking.schedule import scheduled_bands
from cooperative_isac.tracking.tracker import Tracker

SCENE = "bs_ue_zones"
VARIANTS = ("zones", "all", *ZONES)


@dataclass
class Measured:
    """Figures of the runs of one variant.

    errors_m, nees: of the detections of the target, by the zone of its place; nan: not found
    bits: of the packet of a station in a frame, 0 without one, by station
    encode_s: processor time of all stations in a frame
    bands: number of bands on the air in a frame
    undelivered: share of the packets of UEs that do not arrive, in frames with some, by zone
    fused_at_ue: whether a UE fuses, by frame
    is_kept: whether its result does not get to the base station, in frames that a UE fuses
    num_false: detections farther than DETECTION_CUTOFF_M from the target
    continuity: of each run; None where it was too short for any
    switches: identity switches of all runs
    """

    errors_m: dict = field(default_factory=lambda: defaultdict(list))
    nees: dict = field(default_factory=lambda: defaultdict(list))
    bits: dict = field(default_factory=lambda: defaultdict(list))
    encode_s: list = field(default_factory=list)
    bands: list = field(default_factory=list)
    undelivered: dict = field(default_factory=lambda: defaultdict(list))
    fused_at_ue: list = field(default_factory=list)
    is_kept: list = field(default_factory=list)
    num_false: int = 0
    continuity: list = field(default_factory=list)
    switches: int = 0


def variant_of(scene, variant):
    """The scene with the links of zones, with all links, or with those of one kind."""
    if variant == "zones":
        return scene
    kinds = ZONES if variant == "all" else (variant,)
    return replace(scene, cooperation=replace(scene.cooperation, limits_m=None, kinds=kinds))


def zone_of(scene, position_m):
    """Zone of a place by the limits alone, without overlap."""
    exact = replace(scene.cooperation, overlap_m=0.0)
    return next(zone for zone in ZONES if exact.covers(zone, position_m[None])[0])


def measure(zoned, scene, num_frames, measured):
    """Add a run to the figures of a variant.

    zoned: the scene with its zones, by which places are sorted
    scene: the variant
    """
    scheme = make_scheme("local_ml", scene)
    encoders = make_encoders(scheme)
    center = scheme.center()
    tracker = Tracker(scene.tracking, scene.dimension)
    score = RunScore(scene.continuity_threshold_m, scene.tracking, scene.dimension)
    tracks = ()
    for number in range(num_frames):
        time_s = number / scene.update_rate_hz
        targets = scene_targets(scene, time_s)
        bands = scheduled_bands(scene, number, tracks, 1 / scene.update_rate_hz)
        frame = make_frame(scene, number, time_s, bands=bands)
        measured.bands.append(len(bands))

        # Stations.
        packets = {}
        encode_s = 0.0
        for station, encoder in encoders.items():
            echoes = receive(scene, frame, station, targets)
            began_s = time.process_time()
            if echoes:
                packets[station] = encoder.encode(echoes, frame)
                encoder.idle()
            encode_s += time.process_time() - began_s
            measured.bits[station].append(8 * len(packets.get(station, b"")))
        measured.encode_s.append(encode_s)

        # Packets that arrive, center and tracker.
        delivery = deliver(scene, frame, packets)
        detections = center.decode(delivery.packets, frame)
        answered = 1 - len(delivery.undelivered) / len(encoders)
        tracks = tracker.update(time_s, detections, answered)
        score.add(time_s, targets, detections, tracks)
        add_errors(zoned, targets[0], detections, measured)
        add_delivery(zoned, targets[0], packets, delivery, measured)
        if measured.fused_at_ue[-1]:
            sender = result_sender(scene, frame, delivery.fused_at, len(detections))
            measured.is_kept.append(not sender)

    summary = score.summary()
    (target,) = summary.targets.values()
    measured.continuity.append(target.continuity)
    measured.switches += target.identity_switches


def add_errors(zoned, target, detections, measured):
    """Add the errors of the detections of one frame."""
    zone = zone_of(zoned, target.position_m)
    distances_m = [float(np.linalg.norm(one.position_m - target.position_m)) for one in detections]
    found = [place for place, distance in enumerate(distances_m) if distance < DETECTION_CUTOFF_M]
    measured.num_false += len(detections) - min(len(found), 1)
    if not found:
        measured.errors_m[zone].append(np.nan)
        measured.nees[zone].append(np.nan)
        return

    # Error of the nearest one, over its own covariance.
    nearest = min(found, key=lambda place: distances_m[place])
    detection = detections[nearest]
    location_error_m = detection.position_m - target.position_m
    velocity_error_mps = detection.velocity_mps - target.velocity_mps
    error = np.concatenate([location_error_m, velocity_error_mps])
    measured.errors_m[zone].append(distances_m[nearest])
    measured.nees[zone].append(float(nees(error[None], detection.covariance[None])[0]))


def add_delivery(zoned, target, packets, delivery, measured):
    """Add the packets of UEs that do not arrive in one frame, and whether a UE fuses."""
    base = zoned.cooperation.base_station
    sent = packets.keys() - {base}
    if sent:
        zone = zone_of(zoned, target.position_m)
        measured.undelivered[zone].append(len(delivery.undelivered) / len(sent))
    measured.fused_at_ue.append(delivery.fused_at not in ("", base))


def table_of_links(title, names):
    """An empty table with a row for each choice of links, and columns of numbers."""
    table = Table(title=title, box=SIMPLE_HEAD, title_justify="left")
    table.add_column("links")
    for name in names:
        table.add_column(name, justify="right")
    return table


def accuracy_table(results):
    """Table of the detections in each zone."""
    table = table_of_links(
        "found within 3 m; median location error; mean NEES (6 is consistent)",
        [f"{zone}: {name}" for zone in ZONES for name in ("found", "m", "NEES")],
    )
    for variant, measured in results.items():
        cells = []
        for zone in ZONES:
            errors_m = np.array(measured.errors_m[zone])
            is_found = np.isfinite(errors_m)
            if not is_found.any():
                cells += ["0 %" if len(errors_m) else "-", "-", "-"]
                continue
            nees = np.array(measured.nees[zone])[is_found]
            cells += [
                f"{is_found.mean():.0%}",
                f"{np.median(errors_m[is_found]):.3f}",
                f"{nees.mean():.1f}",
            ]
        table.add_row(variant, *cells)
    return table


def cost_table(results):
    """Table of tracks, bits and processor time of each variant."""
    names = ["continuity", "switches", "false", "bits of bs", "bits of a UE", "all bits"]
    table = table_of_links("tracks, and means of a frame", [*names, "bands", "stations ms"])
    for variant, measured in results.items():
        bits = {station: float(np.mean(values)) for station, values in measured.bits.items()}
        ues = [value for station, value in bits.items() if station != "bs"]
        table.add_row(
            variant,
            " ".join("-" if one is None else f"{one:.3f}" for one in measured.continuity),
            str(measured.switches),
            str(measured.num_false),
            f"{bits['bs']:,.0f}",
            f"{np.mean(ues):,.0f}",
            f"{sum(bits.values()):,.0f}",
            f"{np.mean(measured.bands):.1f}",
            f"{1e3 * np.mean(measured.encode_s):.0f}",
        )
    return table


def delivery_table(results):
    """Table of the packets of UEs that do not arrive in each zone."""
    table = table_of_links(
        "share of the packets of UEs that do not arrive; frames that a UE fuses, results it keeps",
        [*ZONES, "fused at a UE", "of them kept"],
    )
    for variant, measured in results.items():
        shares = [measured.undelivered[zone] for zone in ZONES]
        cells = [f"{np.mean(values):.0%}" if values else "-" for values in shares]
        kept = f"{np.mean(measured.is_kept):.0%}" if measured.is_kept else "-"
        table.add_row(variant, *cells, f"{np.mean(measured.fused_at_ue):.0%}", kept)
    return table


def main():
    """Measure the variants and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--frames", type=int, default=112)
    parser.add_argument("--seeds", type=int, nargs="+", default=[201, 202])
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--unlimited", action="store_true", help="every packet arrives")
    options = parser.parse_args()

    zoned = load_scene(SCENE)
    if options.unlimited:
        zoned = replace(zoned, cooperation=replace(zoned.cooperation, radio_link=None))
    results = {}
    for variant in options.variants:
        results[variant] = Measured()
        for seed in options.seeds:
            scene = replace(variant_of(zoned, variant), seed=seed)
            measure(zoned, scene, options.frames, results[variant])
    console = Console(width=120)
    console.print(accuracy_table(results))
    console.print(cost_table(results))
    if not options.unlimited:
        console.print(delivery_table(results))


if __name__ == "__main__":
    main()
