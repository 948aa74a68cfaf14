"""Build the scene that the stages use from the validated file, in watts, meters and radians."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from cooperative_isac.estimation.coarray import coprime_positions, nested_positions
from cooperative_isac.scene import arrays
from cooperative_isac.scene.band import (
    LEAST_MIGRATION_CELLS,
    Clutter,
    Interferer,
    OfdmGrid,
    Propagation,
    Users,
    Waveform,
)
from cooperative_isac.scene.box import Box
from cooperative_isac.scene.file import array_keys, schema
from cooperative_isac.scene.file.build_world import build_world
from cooperative_isac.scene.file.errors import Problem
from cooperative_isac.scene.file.propagation_keys import (
    ClutterEntry,
    InterfererEntry,
    PropagationEntry,
)
from cooperative_isac.scene.file.variables import UnsetVariable, expand_variables
from cooperative_isac.scene.geometry import SPEED_OF_LIGHT_MPS
from cooperative_isac.scene.model import Body, Sensing, Target, TargetClass, TargetDraw, Tracking
from cooperative_isac.scene.path_file import PATH_KINDS, PathFile, PathFileError, read_path_file
from cooperative_isac.scene.station import Site

# Share of the update period that a center waits for packets where the file has no deadline: the
# rest is left for fusion and tracking, before the next frame.
DEADLINE_SHARE = 0.8
# Height of users in three dimensions where the file has none, m: a phone in a hand.
USER_HEIGHT_M = 1.5
BOLTZMANN_J_PER_K = 1.380649e-23
REFERENCE_TEMPERATURE_K = 290.0
# Mean radar cross section in dBsm and deviation in dB of each class: 3GPP TR 38.901 section 7.9
# (release 19), small UAV, passenger car (without its directional lobes), and for targets of no
# class a person.
USUAL_RCS = {"uav": (-12.81, 3.74), "vehicle": (11.25, 3.41), "unknown": (-1.37, 3.94)}


def dbm_to_w(power_dbm: float) -> float:
    """Power in W."""
    return 1e-3 * 10 ** (power_dbm / 10)


def w_to_dbm(power_w: float) -> float:
    """Power in dBm."""
    return 10 * math.log10(power_w / 1e-3)


def rotation_matrix(yaw_deg: float, pitch_deg: float, roll_deg: float) -> np.ndarray:
    """Rotation from array axes to map axes: roll about x, pitch about y, then yaw about z.

    pitch_deg: positive looks up
    Returns [3, 3], float64.
    Source: axes of REP-103.
    """
    # A positive rotation about y turns x down, and so has the opposite sign of the pitch.
    angles = np.radians([yaw_deg, -pitch_deg, roll_deg])

    # Rotations about single axes, by cosines and sines of yaw, pitch and roll.
    cy, cp, cr = np.cos(angles)
    sy, sp, sr = np.sin(angles)
    yaw = np.array(
        [
            [cy, -sy, 0],
            [sy, cy, 0],
            [0, 0, 1],
        ]
    )
    pitch = np.array(
        [
            [cp, 0, sp],
            [0, 1, 0],
            [-sp, 0, cp],
        ]
    )
    roll = np.array(
        [
            [1, 0, 0],
            [0, cr, -sr],
            [0, sr, cr],
        ]
    )
    return yaw @ pitch @ roll


def point(values: list[float], height_m: float) -> np.ndarray:
    """A point of the file.

    values: x, y and z, m; without z it is at height_m
    Returns [3], float64, m.
    """
    x_m, y_m = values[:2]
    z_m = values[2] if len(values) == 3 else height_m
    return np.array([x_m, y_m, z_m], float)


def array_elements(entry: array_keys.ArrayEntry, wavelength_m: float) -> np.ndarray:
    """Offsets of an array's elements along its own axes.

    Returns [num_ant, 3], float64, m.
    """
    if isinstance(entry, array_keys.Custom):
        return np.array(entry.elements_m)
    spacing_m = entry.spacing_wavelengths * wavelength_m
    if isinstance(entry, array_keys.Ula):
        return arrays.ula(entry.num_elements, spacing_m)
    if isinstance(entry, array_keys.Nested):
        return arrays.line(nested_positions(entry.num_inner, entry.num_outer) * spacing_m)
    if isinstance(entry, array_keys.Coprime):
        return arrays.line(coprime_positions(entry.first, entry.second) * spacing_m)
    return arrays.planar(entry.num_horizontal, entry.num_vertical, spacing_m)


def build_site(entry: schema.SiteEntry, wavelength_m: float, height_m: float) -> Site:
    """A site with the elements of its array in the axes of the map.

    entry: of the scene file
    wavelength_m: of the carrier, in which the spacing of elements is given, m
    height_m: z of a position without one, m
    """
    angles = entry.orientation
    rotation = rotation_matrix(angles.yaw_deg, angles.pitch_deg, angles.roll_deg)
    return Site(
        name=entry.name,
        position_m=point(entry.position_m, height_m),
        rotation=rotation,
        elements_m=array_elements(entry.array, wavelength_m) @ rotation.T,
        kind=entry.array.kind,
        pattern=entry.array.pattern,
    )


def num_networks(entry: PropagationEntry) -> int:
    """Number of networks that take turns on the subcarriers of a band, the scene's own included."""
    return 1 + sum(interferer.signal == "orthogonal" for interferer in entry.interferers)


def num_used(entry: schema.WaveformEntry) -> int:
    """Number of sensed subcarriers that the network may use: those of the fragments, or all."""
    if not entry.fragments:
        return entry.num_subcarriers
    return sum(last - first + 1 for first, last in entry.fragments)


def used_span(entry: schema.WaveformEntry) -> int:
    """Number of sensed subcarriers from the first to the last one that the network may use."""
    if not entry.fragments:
        return entry.num_subcarriers
    return entry.fragments[-1][1] - entry.fragments[0][0] + 1


def build_waveform(entry: schema.WaveformEntry, networks: int = 1) -> Waveform:
    """The grid and the waveform on it.

    networks: that take turns on the subcarriers, each with the same power on every one it has
    """
    grid = OfdmGrid(
        carrier_hz=entry.carrier_hz,
        subcarrier_spacing_hz=entry.subcarrier_spacing_hz,
        num_subcarriers=num_used(entry) // networks,
        num_symbols=entry.num_symbols,
        cyclic_prefix_s=entry.cyclic_prefix_s,
        subcarrier_stride=entry.subcarrier_stride * networks,
        symbol_stride=entry.symbol_stride,
        fragments=tuple((first, last) for first, last in entry.fragments or []),
    )
    return Waveform(
        grid=grid,
        modulation_order=entry.modulation,
        precoder=entry.precoder,
        group_size=entry.group_size,
        power_w=dbm_to_w(entry.power_dbm) / networks,
        reference_subcarrier_stride=entry.reference_subcarrier_stride,
        reference_symbol_stride=entry.reference_symbol_stride,
        signals=tuple(entry.signals),
        reference_beams=entry.reference_beams,
        code_power_share=entry.code_power_share,
    )


def thermal_noise_w(bandwidth_hz: float, noise_figure_db: float) -> float:
    """Noise power k T0 B F of a receiver at 290 K, W."""
    noise_factor = 10 ** (noise_figure_db / 10)
    return BOLTZMANN_J_PER_K * REFERENCE_TEMPERATURE_K * bandwidth_hz * noise_factor


def build_body(name: str, entry: schema.BodyEntry) -> Body:
    """The body of a target class; values that the file leaves out are those of USUAL_RCS."""
    usual_dbsm, usual_std_db = USUAL_RCS[name]
    rcs_dbsm = usual_dbsm if entry.rcs_dbsm is None else entry.rcs_dbsm
    rcs_std_db = usual_std_db if entry.rcs_std_db is None else entry.rcs_std_db
    return Body(np.array(entry.size_m), 10 ** (rcs_dbsm / 10), rcs_std_db)


def build_propagation(
    entry: PropagationEntry, height_m: float, grid: OfdmGrid, max_speed_mps: float
) -> Propagation:
    """The sensing channel.

    height_m: z of a scatterer without one, m
    grid: of a frame
    max_speed_mps: of targets that are looked for, m/s
    """
    # Noise power, given or of a noise figure.
    if entry.noise_figure_db is None:
        noise_power_w = dbm_to_w(entry.noise_power_dbm)
    else:
        noise_power_w = thermal_noise_w(grid.subcarrier_spacing_hz, entry.noise_figure_db)

    # Migration of the fastest target, both legs of whose path shorten.
    range_migration = entry.range_migration
    if range_migration is None:
        range_migration = grid.migration_cells(2 * max_speed_mps) > LEAST_MIGRATION_CELLS

    return Propagation(
        reference_gain=10 ** (entry.reference_gain_db / 10),
        reference_distance_m=entry.reference_distance_m,
        pathloss_exponent=entry.pathloss_exponent,
        reflection_variance=entry.reflection_variance,
        noise_power_w=noise_power_w,
        clutter=_clutter(entry.clutter, height_m),
        timing_offset_std_s=entry.timing_offset_std_s,
        frequency_offset_std_hz=entry.frequency_offset_std_hz,
        coherence_time_s=entry.coherence_time_s,
        model=entry.model,
        interferers=tuple(
            _interferer(one, height_m, num_networks(entry)) for one in entry.interferers
        ),
        range_migration=range_migration,
    )


def _interferer(entry: InterfererEntry, height_m: float, networks: int) -> Interferer:
    """A station of another network, with its power on the subcarriers of one of the networks."""
    return Interferer(
        name=entry.name,
        position_m=point(entry.position_m, height_m),
        power_w=dbm_to_w(entry.power_dbm) / networks,
        signal=entry.signal,
    )


def _clutter(entry: ClutterEntry, height_m: float) -> Clutter:
    """Scatterers at fixed places, or a number of them to draw."""
    if entry.positions_m is None:
        return Clutter(entry.num_scatterers or 0, entry.reflection_variance)
    positions = [point(position, height_m) for position in entry.positions_m]
    positions_m = np.array(positions).reshape(-1, 3)
    return Clutter(len(positions_m), entry.reflection_variance, positions_m)


def static_suppression(file: schema.SceneFile) -> str:
    """Suppression of static paths, as in the file; its default depends on the echoes.

    Without the key it is `project` if echoes have static paths of a world or of a path file, which
    then applies to receivers that have some (Sensing.static_paths_by_default), else `keep`.
    """
    if file.sensing.static_paths is not None:
        return file.sensing.static_paths

    # Kinds of a path file's paths; all of them without the key.
    traced_kinds = set()
    if file.propagation.paths is not None:
        traced_kinds = {*(file.propagation.path_kinds or PATH_KINDS)}
    has_static_world = file.world is not None or bool(traced_kinds & {"line_of_sight", "clutter"})
    return "project" if has_static_world else "keep"


def build_parts(file: schema.SceneFile) -> dict:
    """The fields of Scene that need no file beside the scene file."""
    height_m = file.plane_height_m
    carrier_hz = file.waveform.carrier_hz
    wavelength_m = SPEED_OF_LIGHT_MPS / carrier_hz

    box = Box(point(file.area.low_m, height_m), point(file.area.high_m, height_m))
    transmitters = tuple(build_site(site, wavelength_m, height_m) for site in file.transmitters)
    receivers = tuple(build_site(site, wavelength_m, height_m) for site in file.receivers)

    # The ground reaches beyond all sites and the area.
    world = None
    if file.world:
        places = [box.low_m, box.high_m, *(site.position_m for site in transmitters + receivers)]
        world = build_world(file.world, carrier_hz, np.array(places))

    waveform = build_waveform(file.waveform, num_networks(file.propagation))
    bodies = {
        TargetClass[name.upper()]: build_body(name, getattr(file.bodies, name))
        for name in schema.BodiesEntry.model_fields
    }
    return {
        "dimension": file.dimension,
        "plane_height_m": height_m,
        "height_std_m": file.height_std_m,
        "seed": file.seed,
        "update_rate_hz": file.update_rate_hz,
        "continuity_threshold_m": file.continuity_threshold_m,
        "box": box,
        "transmitters": transmitters,
        "receivers": receivers,
        "users": _users(file),
        "waveform": waveform,
        "propagation": build_propagation(
            file.propagation, height_m, waveform.grid, file.sensing.max_speed_mps
        ),
        "draw": _draw(file.draw),
        "sensing": _sensing(file),
        "tracking": Tracking(**file.tracking.model_dump()),
        "bodies": bodies,
        "world": world,
    }


def _users(file: schema.SceneFile) -> Users:
    """The communication users; in a plane they are in it."""
    users = file.users
    height_m = users.height_m
    if height_m is None:
        height_m = file.plane_height_m if file.dimension == 2 else USER_HEIGHT_M
    return Users(
        num_users=users.num_users,
        height_m=height_m,
        noise_power_w=dbm_to_w(users.noise_power_dbm),
        rician_factor=users.rician_factor,
        delay_spread_s=users.delay_spread_s,
    )


def _draw(entry: schema.DrawEntry) -> TargetDraw:
    """The random targets of an evaluation."""
    height_m = None
    if entry.height_m:
        height_m = (entry.height_m[0], entry.height_m[1])
    return TargetDraw(entry.num_targets, entry.max_speed_mps, entry.max_climb_mps, height_m)


def _sensing(file: schema.SceneFile) -> Sensing:
    """Settings of the receivers, with the defaults that depend on other keys."""
    values = file.sensing.model_dump()
    values["deadline_s"] = file.sensing.deadline_s or DEADLINE_SHARE / file.update_rate_hz
    values["static_paths"] = static_suppression(file)
    is_default = file.sensing.static_paths is None
    values["static_paths_by_default"] = is_default and values["static_paths"] != "keep"
    return Sensing(**values)


def build_paths(file: schema.SceneFile, folder: Path) -> tuple[PathFile | None, list[Problem]]:
    """The path file of the scene, and the fault of one that cannot be used.

    folder: of the scene file, to which the path file's name is relative
    """
    name = file.propagation.paths
    if name is None:
        return None, []
    try:
        return read_path_file(folder / os.path.expanduser(expand_variables(name))), []
    except (UnsetVariable, PathFileError) as error:
        return None, [Problem("propagation.paths", str(error))]


def with_paths(
    propagation: Propagation, paths: PathFile, kinds: Sequence[str] | None
) -> Propagation:
    """The channel with the paths of a file.

    kinds: those that are used; None: all
    """
    chosen = tuple(kind for kind in PATH_KINDS if kinds is None or kind in kinds)
    return replace(propagation, paths=paths, path_kinds=chosen)


def recorded_targets(paths: PathFile) -> tuple[Target, ...]:
    """The live targets of a path file."""
    return tuple(
        Target(name, TargetClass(int(kind)), paths.motion(index))
        for index, (name, kind) in enumerate(zip(paths.names, paths.kinds))
    )
