"""Description of a scene and of its resolution in words."""

from __future__ import annotations

import math

import numpy as np

from cooperative_isac.estimation.sidelobes import sidelobes
from cooperative_isac.scene.band import Band, OfdmGrid
from cooperative_isac.scene.box import Box
from cooperative_isac.scene.file.build import w_to_dbm
from cooperative_isac.scene.file.physics import ends_speed, unambiguous_range, unambiguous_speed
from cooperative_isac.scene.file.station_physics import own_speed_mps
from cooperative_isac.scene.model import Scene, Target
from cooperative_isac.scene.motion.motion import note_of
from cooperative_isac.scene.noise import has_unknown_symbols, receiver_noise_w
from cooperative_isac.scene.slot_layout import grid_elements, steps
from cooperative_isac.scene.station import Duplex, Site, Station

# Real and imaginary part in single precision.
BITS_PER_SAMPLE = 2 * 32
DUPLEX_WORDS = {
    Duplex.TX: "transmits",
    Duplex.RX: "receives",
    Duplex.FULL: "transmits and receives",
}
# Points along each axis of the area at which the share in front of an array is counted: every 5 %.
CELLS_PER_AXIS = 21
# Depth behind an array's plane up to which a point counts as in front, m: rounding.
BEHIND_M = 1e-9
# Extent of an array along an axis up to which it is none, m: rounding.
NO_EXTENT_M = 1e-9
NO_RESOLUTION_DEG = 180.0
NO_TARGETS = "none of its own; robots that publish odometry on targets/<name>/odom"


def describe(scene: Scene) -> list[tuple[str, str]]:
    """Label and value of each line that `isac check` prints."""
    rows = [
        ("scene", f"{scene.name} ({scene.dimension}-D), fingerprint {scene.fingerprint}"),
        ("file", scene.source),
        ("area", f"{_triple(scene.box.low_m)} to {_triple(scene.box.high_m)} m"),
    ]
    if scene.layout is None:
        rows += [(f"transmitter {site.name}", _site(scene, site)) for site in scene.transmitters]
        rows += [(f"receiver {site.name}", _site(scene, site)) for site in scene.receivers]
        rows += _waveform(scene) + _resolution(scene) + _paths(scene) + _static_paths(scene)
        rows += _reflectors(scene)
    else:
        rows += _network(scene)
    targets = [(f"target {target.name}", _target(target)) for target in scene.targets]
    return rows + (targets or [("targets", NO_TARGETS)])


def _network(scene: Scene) -> list[tuple[str, str]]:
    """Links, bands and stations of a scene that names them."""
    rows = [("links", _links(scene))]
    if scene.cooperation is not None:
        rows.append(("cooperation", scene.cooperation.summary))
    for band, view in zip(scene.bands, scene.views):
        rows += _band(scene, band, view)
    rows += _static_paths(scene) + _reflectors(scene)
    if not all(station.clock.is_ideal for station in scene.stations):
        rows.append(("synchronization", _synchronization(scene)))
    for station in scene.stations:
        rows.append((f"station {station.name}", _station(station)))
        rows += [(f"  on {name}", _antenna(scene, station, name)) for name in station.bands]
    return rows


def _links(scene: Scene) -> str:
    """Mode and number of the links."""
    monostatic = sum(link.is_monostatic for link in scene.links)
    parts = [
        f"{sum(link.band == band.name for link in scene.links)} on {band.name}"
        for band in scene.bands
    ]
    return (
        f"{scene.link_mode}: {len(scene.links)} ({', '.join(parts)}), {monostatic} of them "
        "monostatic"
    )


def _band(scene: Scene, band: Band, view: Scene) -> list[tuple[str, str]]:
    """Waveform, power and resolution of a band."""
    grid = view.grid
    wave = view.waveform
    frame_s = grid.num_symbols * grid.symbol_period_s
    rate_hz = scene.update_rate_hz / band.frame_stride

    # Subcarriers and symbols of a comb.
    spacing = f"{grid.subcarrier_spacing_hz / 1e3:g} kHz"
    if grid.subcarrier_stride > 1:
        spacing += f" (one in {grid.subcarrier_stride})"
    symbols = f"{grid.num_symbols} symbols"
    if grid.symbol_stride > 1:
        symbols += f" (one in {grid.symbol_stride})"

    ends_mps = ends_speed(view)
    moving = f", of which moving stations take {ends_mps:.3g} m/s" if ends_mps else ""
    return [
        (
            f"band {band.name}",
            f"{grid.carrier_hz / 1e9:g} GHz, {grid.num_subcarriers} subcarriers of {spacing}"
            f"{_fragments(grid)} x "
            f"{symbols}, {wave.modulation_order}-QAM, {wave.precoder}, "
            f"{view.users.num_users} users" + (f"; zone {band.zone}" if band.zone else ""),
        ),
        *_signals(view, "  signals"),
        ("  frames", f"{frame_s * 1e3:.3g} ms, {rate_hz:g} frames/s"),
        (
            "  power",
            f"{w_to_dbm(wave.power_w):.1f} dBm a transmitter, sensing noise "
            f"{w_to_dbm(view.propagation.noise_power_w):.1f} dBm",
        ),
        (
            "  resolution",
            f"bistatic range {grid.range_resolution_m:.3g} m{_side_lobes(grid)}, "
            f"speed {speed_resolution(view):.3g} m/s; "
            f"unambiguous within {unambiguous_range(view):.4g} m, "
            f"{unambiguous_speed(view):.4g} m/s{moving}",
        ),
    ]


def _signals(view: Scene, label: str) -> list[tuple[str, str]]:
    """Components of a band's signal and what receivers use of them, where it is not data alone."""
    wave = view.waveform
    if not wave.has_reference:
        return []
    if wave.is_superimposed:
        share = wave.code_power_share
        text = f"code words beside data with {share:.3g} of the power"
        if has_unknown_symbols(view):
            sensed_w = wave.sensed_power_w(view.sensing.symbols)
            text += f", {10 * math.log10(sensed_w / wave.power_w):+.1f} dB of SNR"
        beams = f"(reference_beams: {wave.reference_beams})"
        return [(label, f"{text} {beams}; receivers use {view.sensing.symbols}")]
    if wave.reference_signals:
        names = ", ".join(wave.signals)
        share = float(grid_elements(wave.reference_signals, wave.grid).mean())
        beams = f" (reference_beams: {wave.reference_beams})"
    else:
        names = "data, comb"
        share = 1 / (wave.reference_subcarrier_stride * wave.reference_symbol_stride)
        beams = ""
    elements = "all elements" if share == 1 else f"{share:.3g} of the elements"
    text = f"{names}: reference symbols on {elements}{beams}"
    return [(label, f"{text}; receivers use {view.sensing.symbols}")]


def _station(station: Station) -> str:
    """Role, position or motion, residual self-interference and clock of a station."""
    parts = [f"{station.role}, {_place(station)}"]
    if station.operator:
        parts.append(f"operator {station.operator}")
    if station.area:
        parts.append(f"area {station.area}")
    if station.scheme:
        parts.append(f"scheme {station.scheme}")

    # Position error, residual self-interference and clock offsets.
    if station.position_std_m:
        parts.append(f"position known to {station.position_std_m:g} m")
    if station.residual_self_interference_db is not None:
        level_db = station.residual_self_interference_db
        parts.append(f"residual self-interference {level_db:g} dB")
    if not station.clock.is_ideal:
        clock = station.clock
        parts.append(
            f"clock {clock.timing_offset_s * 1e9:+.4g} ns {clock.timing_drift * 1e9:+.4g} ns/s, "
            f"{clock.frequency_offset_hz:+.4g} Hz {clock.frequency_drift_hzps:+.4g} Hz/s"
        )
    return "; ".join(parts)


def _place(station: Station) -> str:
    """Position of a station, or the motion that it follows."""
    begins = _triple(station.pose_at(0.0).position_m)
    if station.odometry:
        return f"follows odometry '{station.odometry}', begins at {begins} m"
    if station.tf_frame:
        return f"follows frame '{station.tf_frame}' of /tf, begins at {begins} m"
    if station.motion is None:
        return f"at {begins} m"

    motion = station.motion
    ends = "without end" if math.isinf(motion.duration_s) else f"for {motion.duration_s:.1f} s"
    note = note_of(motion)
    return (
        f"moves from {motion.start_s:g} s {ends} with up to {own_speed_mps(station):.3g} m/s, "
        f"begins at {begins} m" + (f" ({note})" if note else "")
    )


def _antenna(scene: Scene, station: Station, band: str) -> str:
    """A station's array on one band, and the size of its raw echo."""
    view = scene.on(band)
    antenna = station.antenna(band)
    assert antenna is not None, "a station's bands are those of its arrays"
    site = station.site(band, station.pose_at(0.0))
    text = f"{DUPLEX_WORDS[antenna.duplex]}, {_array(view, site)}"
    if antenna.duplex.receives:
        noise_dbm = w_to_dbm(receiver_noise_w(view, site))
        text += f", raw echo {raw_bits(view, site) / 1e6:.3g} Mbit, noise {noise_dbm:.1f} dBm"
    return text


def raw_bits(scene: Scene, receiver: Site) -> int:
    """Bits of one receiver's uncompressed echo of one frame in single precision (CF section V)."""
    return BITS_PER_SAMPLE * receiver.num_ant * scene.grid.num_subcarriers * scene.grid.num_symbols


def speed_resolution(scene: Scene) -> float:
    """Resolution of the speed along the bistatic bisector, lambda / (2 T), m/s."""
    return scene.grid.wavelength_m / 2 * scene.grid.doppler_resolution_hz


def angle_resolution(scene: Scene, site: Site) -> tuple[float, float]:
    """Beam widths lambda / aperture at boresight along the array's y and z axes, degrees.

    An array without extent along an axis has NO_RESOLUTION_DEG there.
    """
    extents_m = np.ptp(site.elements_m @ site.rotation[:, 1:], axis=0)
    along_y, along_z = (_beam_width_deg(scene.grid.wavelength_m, extent) for extent in extents_m)
    return along_y, along_z


def _beam_width_deg(wavelength_m: float, extent_m: float) -> float:
    """Beam width of an array; its aperture is half a wavelength longer than its extent."""
    if extent_m <= NO_EXTENT_M:
        return NO_RESOLUTION_DEG
    width_rad = wavelength_m / (extent_m + wavelength_m / 2)
    return min(math.degrees(width_rad), NO_RESOLUTION_DEG)


def share_in_front(area: Box, site: Site) -> float:
    """Share of the area on the side of an array's look direction.

    A flat array cannot distinguish its two sides.
    """
    # Points all over the area.
    edges_m = zip(area.low_m, area.high_m)
    axes_m = [np.linspace(low, high, CELLS_PER_AXIS) for low, high in edges_m]
    grid_m = np.meshgrid(*axes_m)
    points_m = np.stack(grid_m, axis=-1).reshape(-1, 3)

    # Those that are not behind the array's plane.
    depths_m = (points_m - site.position_m) @ site.boresight
    return float(np.mean(depths_m >= -BEHIND_M))


def _site(scene: Scene, site: Site) -> str:
    """Position and array of a site."""
    return f"{_triple(site.position_m)} m, {_array(scene, site)}"


def _array(scene: Scene, site: Site) -> str:
    """Elements, look direction and beam widths of an array on a band."""
    # Look direction.
    x, y, z = site.boresight
    sine = max(-1.0, min(1.0, z))
    yaw_deg = math.degrees(math.atan2(y, x))
    pitch_deg = math.degrees(math.asin(sine))
    look = f"yaw {yaw_deg:.0f} deg, pitch {pitch_deg:.0f} deg"

    # Beam widths, and the share of the area in front.
    widths_deg = angle_resolution(scene, site)
    widths = [f"{width:.1f}" for width in widths_deg if width < NO_RESOLUTION_DEG]
    beam = f", beam {' x '.join(widths)} deg" if widths else ""
    front = f"{share_in_front(scene.box, site):.0%} of the area in front"
    return f"{site.kind} of {site.num_ant}, {look}{beam}, {front}"


def _waveform(scene: Scene) -> list[tuple[str, str]]:
    """Waveform, power, users and echo size of a scene of one band."""
    wave = scene.waveform
    grid = scene.grid
    frame_s = grid.num_symbols * grid.symbol_period_s
    echoes = [f"{site.name} {raw_bits(scene, site) / 1e6:.3g} Mbit" for site in scene.receivers]
    return [
        (
            "waveform",
            f"{grid.num_subcarriers} subcarriers{_fragments(grid)} x {grid.num_symbols} symbols at "
            f"{grid.carrier_hz / 1e9:g} GHz, {wave.modulation_order}-QAM, {wave.precoder}",
        ),
        (
            "power",
            f"{w_to_dbm(wave.power_w):.1f} dBm a transmitter, sensing noise "
            f"{w_to_dbm(scene.propagation.noise_power_w):.1f} dBm",
        ),
        ("frame", f"{frame_s * 1e3:.3g} ms, {scene.update_rate_hz:g} frames/s"),
        *_signals(scene, "signals"),
        ("users", f"{scene.users.num_users}"),
        ("raw echo", ", ".join(echoes) + " a frame"),
    ]


def _resolution(scene: Scene) -> list[tuple[str, str]]:
    """Resolution and unambiguous spans of a scene of one band."""
    return [
        (
            "resolution",
            f"bistatic range {scene.grid.range_resolution_m:.3g} m{_side_lobes(scene.grid)}, "
            f"speed {speed_resolution(scene):.3g} m/s",
        ),
        (
            "unambiguous",
            f"bistatic range span {unambiguous_range(scene):.4g} m, "
            f"speed {unambiguous_speed(scene):.4g} m/s",
        ),
    ]


def _fragments(grid: OfdmGrid) -> str:
    """Ranges of subcarriers of a fragmented spectrum, in words; empty for a whole one."""
    if not grid.fragments:
        return ""
    ranges = ", ".join(f"{first}-{last}" for first, last in grid.fragments)
    return f" (fragments {ranges})"


def _side_lobes(grid: OfdmGrid) -> str:
    """Side lobes in range of a fragmented spectrum, in words; empty for a single range."""
    if len(grid.fragments) < 2:
        return ""

    # Ambiguity over one unambiguous span, which is that of the greatest common step.
    step, _ = steps(np.ones((grid.num_subcarriers, 1), bool), grid.places)
    from_first = (grid.places - grid.places[0]) // step
    mask = np.zeros((from_first[-1] + 1, 1), bool)
    mask[from_first] = True

    # The largest fragment.
    longest = max(last - first + 1 for first, last in grid.fragments)
    alone_m = grid.range_resolution_m * grid.span / longest
    return (
        f" (of all fragments, with side lobes up to {sidelobes(mask).peak_db:.1f} dB; the largest "
        f"alone {alone_m:.3g} m)"
    )


def _paths(scene: Scene) -> list[tuple[str, str]]:
    """The path file of a scene, if it has one."""
    file = scene.propagation.paths
    if file is None:
        return []
    num_static = sum(map(len, file.static.values()))
    lasts_s = file.num_frames * file.period_s
    return [
        (
            "paths",
            f"{file.source}: {file.num_frames} frames, {lasts_s:g} s; "
            f"{num_static} static, {len(file.moving)} by way of targets",
        ),
        ("path kinds", ", ".join(scene.propagation.path_kinds)),
    ]


def _static_paths(scene: Scene) -> list[tuple[str, str]]:
    """Suppression of paths without Doppler shift, where echoes have some."""
    if scene.world is None and scene.propagation.paths is None:
        return []
    sensing = scene.sensing
    remark = ""
    if sensing.static_paths_by_default:
        remark = " (default), in echoes over links at rest that have some; for a radio set project"
    elif sensing.static_paths == "keep":
        remark = ": what stands still in the echoes hides targets; project or learn takes it out"
    elif sensing.static_paths == "learn" and sensing.min_speed_mps > 0:
        remark = (
            f": slow targets are left out all the same, as sensing.min_speed_mps is "
            f"{sensing.min_speed_mps:g}; 0 keeps them"
        )
    if sensing.static_paths != "keep" and any(station.is_mobile for station in scene.stations):
        remark += "; over links with a moving end they are fitted and canceled one by one"
    return [("static paths", sensing.static_paths + remark)]


def _reflectors(scene: Scene) -> list[tuple[str, str]]:
    """Number of surfaces by way of which each receiver sees parts of the area that are hidden."""
    if scene.sensing.reflections == "ignore":
        return []
    counts = [
        f"{name} sees hidden parts of the area by way of {len(regions)} surfaces"
        for view in scene.views
        for name, regions in view.hidden_regions.items()
    ]
    return [("reflections", "; ".join(counts))]


def _synchronization(scene: Scene) -> str:
    """Correction of clock offsets."""
    mode = scene.sensing.synchronization
    return mode if mode != "none" else "none: clock offsets are errors of delays and Doppler shifts"


def _target(target: Target) -> str:
    """Class, cross section and motion of a live target."""
    motion = target.motion
    ends = "without end" if math.isinf(motion.duration_s) else f"for {motion.duration_s:.1f} s"
    position_m, velocity_mps = motion.state(motion.start_s)
    note = note_of(motion)
    section = "" if target.rcs_m2 is None else f" of {10 * math.log10(target.rcs_m2):.3g} dBsm"
    return (
        f"{target.target_class.name.lower()}{section}, from {motion.start_s:g} s {ends}, begins at "
        f"{_triple(position_m)} m with {np.linalg.norm(velocity_mps):.3g} m/s"
        + (f"; {note}" if note else "")
    )


def _triple(values: np.ndarray) -> str:
    """A vector in words."""
    return "(" + ", ".join(f"{value:.4g}" for value in values) + ")"
