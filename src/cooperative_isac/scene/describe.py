"""What a scene consists of and what it can resolve, in words."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from cooperative_isac.scene.band import Band
from cooperative_isac.scene.file.build import w_to_dbm
from cooperative_isac.scene.file.physics import ends_speed, unambiguous_range, unambiguous_speed
from cooperative_isac.scene.file.station_physics import own_speed_mps
from cooperative_isac.scene.model import Box, Scene, Target
from cooperative_isac.scene.motion.motion import note_of
from cooperative_isac.scene.noise import receiver_noise_w
from cooperative_isac.scene.station import Duplex, Site, Station

BITS_PER_SAMPLE = 2 * 32
DUPLEX_WORDS = {
    Duplex.TX: "transmits",
    Duplex.RX: "receives",
    Duplex.FULL: "transmits and receives",
}
CELLS_PER_AXIS = 21
# Share of the area in front of an array below which its orientation is taken for a mistake.
LEAST_SHARE_IN_FRONT = 0.5
NO_TARGETS = "none of its own; whatever publishes odometry on targets/<name>/odom"


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
    else:
        rows += _network(scene)
    targets = [(f"target {target.name}", _target(target)) for target in scene.targets]
    return rows + (targets or [("targets", NO_TARGETS)])


def _network(scene: Scene) -> list[tuple[str, str]]:
    """Links, bands and stations of a scene that names them."""
    rows = [("links", _links(scene))]
    for band, view in zip(scene.bands, scene.views):
        rows += _band(scene, band, view)
    rows += _static_paths(scene)
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
    """What is sent on a band, and what that resolves."""
    grid = view.grid
    wave = view.waveform
    frame_s = grid.num_symbols * grid.symbol_period_s
    rate_hz = scene.update_rate_hz / band.frame_stride
    spacing = f"{grid.subcarrier_spacing_hz / 1e3:g} kHz"
    if grid.subcarrier_stride > 1:
        spacing += f" (one in {grid.subcarrier_stride})"
    symbols = f"{grid.num_symbols} symbols"
    if grid.symbol_stride > 1:
        symbols += f" (one in {grid.symbol_stride})"
    own_mps = ends_speed(view)
    moving = f", of which moving stations take {own_mps:.3g} m/s" if own_mps else ""
    return [
        (
            f"band {band.name}",
            f"{grid.carrier_hz / 1e9:g} GHz, {grid.num_subcarriers} subcarriers of {spacing} x "
            f"{symbols}, {wave.modulation_order}-QAM, {wave.precoder}, "
            f"{view.users.num_users} users",
        ),
        ("  frames", f"{frame_s * 1e3:.3g} ms, {rate_hz:g} frames/s"),
        (
            "  power",
            f"{w_to_dbm(wave.power_w):.1f} dBm a transmitter, sensing noise "
            f"{w_to_dbm(view.propagation.noise_power_w):.1f} dBm",
        ),
        (
            "  resolution",
            f"bistatic range {grid.range_resolution_m:.3g} m, speed {speed_resolution(view):.3g} "
            f"m/s; unambiguous within {unambiguous_range(view):.4g} m, "
            f"{unambiguous_speed(view):.4g} m/s{moving}",
        ),
    ]


def _station(station: Station) -> str:
    """Role, place or motion, clock and what is left of its own signal."""
    parts = [f"{station.role}, {_place(station)}"]
    if station.operator:
        parts.append(f"operator {station.operator}")
    if station.area:
        parts.append(f"area {station.area}")
    if station.scheme:
        parts.append(f"scheme {station.scheme}")
    if station.residual_self_interference_db is not None:
        level_db = station.residual_self_interference_db
        parts.append(f"{level_db:g} dB of its own signal left")
    if not station.clock.is_ideal:
        clock = station.clock
        parts.append(
            f"clock {clock.timing_offset_s * 1e9:+.4g} ns {clock.timing_drift * 1e9:+.4g} ns/s, "
            f"{clock.frequency_offset_hz:+.4g} Hz {clock.frequency_drift_hzps:+.4g} Hz/s"
        )
    return "; ".join(parts)


def _place(station: Station) -> str:
    """Where a station stands, or along what it moves."""
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
    """Bits of one receiver's whole echo of one frame in single precision, uncompressed (CF section
    V).
    """
    return BITS_PER_SAMPLE * receiver.num_ant * scene.grid.num_subcarriers * scene.grid.num_symbols


def speed_resolution(scene: Scene) -> float:
    """Resolution of the speed along the bistatic bisector, lambda / (2 T), m/s."""
    return scene.grid.wavelength_m / 2 * scene.grid.doppler_resolution_hz


def angle_resolution(scene: Scene, site: Site) -> tuple[float, float]:
    """Beam widths lambda / aperture at boresight along the array's y and z axes, degrees (180: no
    extent).
    """
    extents = np.ptp(site.elements_m @ site.rotation[:, 1:], axis=0)
    widths = [
        scene.grid.wavelength_m / (extent + scene.grid.wavelength_m / 2) for extent in extents
    ]
    along_y, along_z = (
        min(math.degrees(width), 180.0) if extent > 1e-9 else 180.0
        for width, extent in zip(widths, extents)
    )
    return along_y, along_z


def share_in_front(area: Box, site: Site) -> float:
    """Share of the area on the side to which the array looks; a flat array cannot tell its sides
    apart.
    """
    axes = [np.linspace(low, high, CELLS_PER_AXIS) for low, high in zip(area.low_m, area.high_m)]
    points = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 3)
    return float(np.mean((points - site.position_m) @ site.boresight >= -1e-9))


def warnings(scene: Scene) -> list[str]:
    """What is allowed in a scene, but hardly meant: one line each."""
    of_bands = [
        line for view in scene.views for line in (*_facing_away(view), *_without_angles(view))
    ]
    return [*_without_links(scene), *_clocks_apart(scene), *of_bands]


def _without_links(scene: Scene) -> Iterator[str]:
    """Stations that no link uses on a band on which they have an array."""
    if scene.layout is None:
        return
    used = {(name, link.band) for link in scene.links for name in (link.tx, link.rx)}
    for station in scene.stations:
        for antenna in station.antennas:
            if (station.name, antenna.band) in used:
                continue
            yield (
                f"station '{station.name}' has no link on band '{antenna.band}': it "
                f"{DUPLEX_WORDS[antenna.duplex]} there, and links are {scene.link_mode}; change "
                "`links` or its duplex, or leave the array out"
            )


def _clocks_apart(scene: Scene) -> Iterator[str]:
    """Bands with links over which clocks differ by more than delays and Doppler shifts show."""
    if scene.layout is None:
        return
    for view in scene.views:
        timing_s = {}
        frequency_hz = {}
        for link in scene.links:
            if link.band != view.band or link.is_monostatic:
                continue
            sender = scene.station(link.tx).clock
            own = scene.station(link.rx).clock
            name = f"{link.tx} - {link.rx}"
            timing_s[name] = abs(sender.timing_s(0.0) - own.timing_s(0.0))
            frequency_hz[name] = abs(sender.frequency_hz(0.0) - own.frequency_hz(0.0))

        most_s = view.grid.cyclic_prefix_s
        worst = max(timing_s, key=timing_s.__getitem__, default="")
        if worst and timing_s[worst] > most_s:
            yield (
                f"clocks of link {worst} on band '{view.band}' are {timing_s[worst]:.3g} s apart, "
                f"which is more than the cyclic prefix ({most_s:.3g} s): ranges over it are "
                "wrong; reduce clock.timing_offset_s"
            )

        most_hz = 2 * unambiguous_speed(view) / view.grid.wavelength_m
        worst = max(frequency_hz, key=frequency_hz.__getitem__, default="")
        if worst and frequency_hz[worst] > most_hz:
            yield (
                f"clocks of link {worst} on band '{view.band}' are {frequency_hz[worst]:.6g} Hz "
                f"apart, and Doppler shifts unambiguous within {most_hz:.6g} Hz: speeds over it "
                "are wrong; reduce clock.frequency_offset_hz"
            )


def _key(scene: Scene, group: str, index: int) -> str:
    """How a warning calls a site."""
    site = getattr(scene, group)[index]
    if scene.layout is None:
        return f"{group}[{index}] ('{site.name}')"
    return f"station '{site.name}' on band '{scene.band}'"


def _turns(scene: Scene, site: Site) -> bool:
    """Whether a site's look direction changes as it moves."""
    return scene.layout is not None and scene.station(site.name).is_mobile


def _facing_away(scene: Scene) -> Iterator[str]:
    """Receivers, and transmitters with directive elements, that look away from the area.

    Receivers search in front of their array alone.
    """
    effects = {
        "transmitters": "its elements radiate little behind them",
        "receivers": "it looks for targets in front of its array alone",
    }
    for group, effect in effects.items():
        for index, site in enumerate(getattr(scene, group)):
            if _turns(scene, site):
                continue
            is_blind_behind = group == "receivers" or site.pattern != "isotropic"
            share = share_in_front(scene.box, site)
            if not is_blind_behind or share >= LEAST_SHARE_IN_FRONT:
                continue
            away = (scene.box.low_m + scene.box.high_m) / 2 - site.position_m
            yaw_deg = math.degrees(math.atan2(away[1], away[0]))
            yield (
                f"{_key(scene, group, index)} has {share:.0%} of the area in front; {effect}: "
                f"turn it, orientation.yaw_deg: {yaw_deg:.0f} looks at the middle of the area"
            )


def _without_angles(scene: Scene) -> Iterator[str]:
    """Receivers whose arrays have no extent, as those of a single antenna."""
    for index, site in enumerate(scene.receivers):
        if min(angle_resolution(scene, site)) < 180.0:
            continue
        yield (
            f"{_key(scene, 'receivers', index)} measures no angle, as its array of {site.num_ant} "
            "has no extent across its look direction: give it more elements"
        )


def _site(scene: Scene, site: Site) -> str:
    return f"{_triple(site.position_m)} m, {_array(scene, site)}"


def _array(scene: Scene, site: Site) -> str:
    """An array, where it looks and how wide its beams are on a band."""
    x, y, z = site.boresight
    yaw, pitch = math.degrees(math.atan2(y, x)), math.degrees(math.asin(max(-1.0, min(1.0, z))))
    widths = [f"{width:.1f}" for width in angle_resolution(scene, site) if width < 180]
    beam = f", beam {' x '.join(widths)} deg" if widths else ""
    front = f"{share_in_front(scene.box, site):.0%} of the area in front"
    return f"{site.kind} of {site.num_ant}, yaw {yaw:.0f} deg, pitch {pitch:.0f} deg{beam}, {front}"


def _waveform(scene: Scene) -> list[tuple[str, str]]:
    wave, grid = scene.waveform, scene.grid
    frame_s = grid.num_symbols * grid.symbol_period_s
    echoes = [f"{site.name} {raw_bits(scene, site) / 1e6:.3g} Mbit" for site in scene.receivers]
    return [
        (
            "waveform",
            f"{grid.num_subcarriers} subcarriers x {grid.num_symbols} symbols at "
            f"{grid.carrier_hz / 1e9:g} GHz, {wave.modulation_order}-QAM, {wave.precoder}",
        ),
        (
            "power",
            f"{w_to_dbm(wave.power_w):.1f} dBm a transmitter, sensing noise "
            f"{w_to_dbm(scene.propagation.noise_power_w):.1f} dBm",
        ),
        ("frame", f"{frame_s * 1e3:.3g} ms, {scene.update_rate_hz:g} frames/s"),
        ("users", f"{scene.users.num_users}"),
        ("raw echo", ", ".join(echoes) + " a frame"),
    ]


def _resolution(scene: Scene) -> list[tuple[str, str]]:
    return [
        (
            "resolution",
            f"bistatic range {scene.grid.range_resolution_m:.3g} m, "
            f"speed {speed_resolution(scene):.3g} m/s",
        ),
        (
            "unambiguous",
            f"bistatic range span {unambiguous_range(scene):.4g} m, "
            f"speed {unambiguous_speed(scene):.4g} m/s",
        ),
    ]


def _paths(scene: Scene) -> list[tuple[str, str]]:
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
    """What becomes of paths without Doppler shift, where echoes have some."""
    if scene.world is None and scene.propagation.paths is None:
        return []
    sensing = scene.sensing
    remark = ""
    if sensing.static_paths == "keep":
        remark = ": what stands still in the echoes hides targets; project or learn takes it out"
    elif sensing.static_paths == "learn" and sensing.min_speed_mps > 0:
        remark = (
            f": slow targets are left out all the same, as sensing.min_speed_mps is "
            f"{sensing.min_speed_mps:g}; 0 keeps them"
        )
    return [("static paths", sensing.static_paths + remark)]


def _target(target: Target) -> str:
    motion = target.motion
    ends = "without end" if math.isinf(motion.duration_s) else f"for {motion.duration_s:.1f} s"
    position, velocity = motion.state(motion.start_s)
    note = note_of(motion)
    section = "" if target.rcs_m2 is None else f" of {10 * math.log10(target.rcs_m2):.3g} dBsm"
    return (
        f"{target.target_class.name.lower()}{section}, from {motion.start_s:g} s {ends}, begins at "
        f"{_triple(position)} m with {np.linalg.norm(velocity):.3g} m/s"
        + (f"; {note}" if note else "")
    )


def _triple(values: np.ndarray) -> str:
    return "(" + ", ".join(f"{value:.4g}" for value in values) + ")"
