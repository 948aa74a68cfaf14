"""Warnings of likely mistakes in a scene that are allowed."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from cooperative_isac.scene.cooperation import SHORT_PACKET_BITS
from cooperative_isac.scene.cooperation_warnings import clock_differences
from cooperative_isac.scene.describe import (
    DUPLEX_WORDS,
    NO_RESOLUTION_DEG,
    angle_resolution,
    share_in_front,
)
from cooperative_isac.scene.file.physics import checked_times, unambiguous_speed
from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.station import Site

# Share of the area in front of an array below which its orientation is taken for a mistake.
LEAST_SHARE_IN_FRONT = 0.5


def warnings(scene: Scene) -> list[str]:
    """Likely mistakes in a scene that are allowed, one line each."""
    lines = [
        *_without_links(scene),
        *_clocks_apart(scene),
        *_without_sight(scene),
        *_kept_static_paths(scene),
        *_kept_clutter(scene),
        *_moving_among_scatterers(scene),
        *_short_uplink(scene),
        *_fast_climbs(scene),
    ]
    for view in scene.views:
        lines += _facing_away(view)
        lines += _without_angles(view)
    return lines


def _without_links(scene: Scene) -> Iterator[str]:
    """Stations without a link on a band on which they have an array."""
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


def _short_uplink(scene: Scene) -> Iterator[str]:
    """Uplinks of UEs that do not reach the outer limit of zone B."""
    cooperation = scene.cooperation
    if cooperation is None or cooperation.limits_m is None or cooperation.radio_link is None:
        return
    reach_m = cooperation.radio_link.reach_m(SHORT_PACKET_BITS)
    needed_m = cooperation.limits_m[1] + cooperation.overlap_m
    if "B" in cooperation.kinds and reach_m < needed_m:
        yield (
            f"packets of {SHORT_PACKET_BITS} bits of UEs reach {reach_m:.0f} m, and zone B ends at "
            f"{needed_m:.0f} m with its overlap: reports of UEs there may not arrive; lower "
            "cooperation.zones_m, or change cooperation.radio_link"
        )


def _fast_climbs(scene: Scene) -> Iterator[str]:
    """Targets that climb or descend faster than the prior of velocities expects."""
    if scene.dimension == 2:
        return
    limit_mps = scene.sensing.max_climb_mps
    for target in scene.targets:
        times_s = checked_times(scene, target.motion)
        velocities_mps = np.array([target.motion.state(float(time_s))[1] for time_s in times_s])
        climbs_mps = velocities_mps[:, 2]
        fastest_mps = float(climbs_mps[np.argmax(np.abs(climbs_mps))])
        if abs(fastest_mps) > limit_mps:
            verb = "climbs" if fastest_mps > 0 else "descends"
            yield (
                f"target '{target.name}' {verb} with up to {abs(fastest_mps):.3g} m/s, and "
                f"sensing.max_climb_mps is {limit_mps:g}: where its velocity is not measured along "
                "all axes it is found less often; raise sensing.max_climb_mps"
            )


def _clocks_apart(scene: Scene) -> Iterator[str]:
    """Bands with links whose clocks differ by more than the unambiguous delay or Doppler shift."""
    if scene.layout is None:
        return
    for view in scene.views:
        # Clock differences of the band's bistatic links.
        timing_s = {}
        frequency_hz = {}
        for link in scene.links:
            if link.band != view.band or link.is_monostatic:
                continue
            name = f"{link.tx} - {link.rx}"
            timing_s[name], frequency_hz[name] = clock_differences(scene, link)

        # Timing: within the cyclic prefix.
        most_s = view.grid.cyclic_prefix_s
        worst = max(timing_s, key=timing_s.__getitem__, default="")
        if worst and timing_s[worst] > most_s:
            yield (
                f"clocks of link {worst} on band '{view.band}' are {timing_s[worst]:.3g} s apart, "
                f"which is more than the cyclic prefix ({most_s:.3g} s): ranges over it are "
                "wrong; reduce clock.timing_offset_s"
            )

        # Frequency: within the unambiguous Doppler shifts.
        most_hz = 2 * unambiguous_speed(view) / view.grid.wavelength_m
        worst = max(frequency_hz, key=frequency_hz.__getitem__, default="")
        if worst and frequency_hz[worst] > most_hz:
            yield (
                f"clocks of link {worst} on band '{view.band}' are {frequency_hz[worst]:.6g} Hz "
                f"apart, and Doppler shifts unambiguous within {most_hz:.6g} Hz: speeds over it "
                "are wrong; reduce clock.frequency_offset_hz"
            )


def _without_sight(scene: Scene) -> Iterator[str]:
    """Bands whose simulated echoes have no path by which their links could be synchronized."""
    if scene.sensing.synchronization != "line_of_sight" or scene.propagation.paths is not None:
        return
    for view in scene.views:
        if view.world is None or not (view.world.line_of_sight or view.world.surfaces):
            yield (
                "sensing.synchronization is 'line_of_sight', but simulated echoes of band "
                f"'{view.band}' contain none: clock offsets stay unknown; add `world: {{}}`"
            )


def _kept_static_paths(scene: Scene) -> Iterator[str]:
    """Lines of sight and reflections of the world that nothing takes out of the echoes."""
    sensing = scene.sensing
    if sensing.static_paths != "keep" or sensing.synchronization == "line_of_sight":
        return
    worlds = [view.world for view in scene.views if view.world is not None]
    if any(world.line_of_sight or world.surfaces for world in worlds):
        yield (
            "sensing.static_paths is 'keep': lines of sight and reflections of the `world` stay in "
            "the echoes and hide targets; leave the key out"
        )


def _kept_clutter(scene: Scene) -> Iterator[str]:
    """Clutter that nothing takes out of the echoes, nor out of the detections."""
    sensing = scene.sensing
    if sensing.static_paths != "keep" or sensing.min_speed_mps > 0:
        return
    clutters = [view.propagation.clutter for view in scene.views]
    if any(clutter.num_scatterers and clutter.reflection_variance for clutter in clutters):
        yield (
            "sensing.static_paths is 'keep' and sensing.min_speed_mps is 0: propagation.clutter "
            "stays in the echoes and is found as targets; set sensing.static_paths: project, or "
            "the least speed of a target"
        )


def _moving_among_scatterers(scene: Scene) -> Iterator[str]:
    """Diffuse scattering that stays in the echoes of links with a moving end."""
    mobile = [station.name for station in scene.stations if station.is_mobile]
    worlds = [view.world for view in scene.views if view.world is not None]
    surfaces = [surface for world in worlds for surface in world.surfaces]
    if mobile and any(surface.material.scattering > 0 for surface in surfaces):
        yield (
            "the surfaces of the world scatter, and over links with a moving end "
            f"({', '.join(mobile)}) that has Doppler shifts and stays in the echoes: it hides weak "
            "targets; material.scattering: 0 leaves it out"
        )


def _key(scene: Scene, group: str, index: int) -> str:
    """Name of a site in a warning.

    group: transmitters | receivers
    """
    site = getattr(scene, group)[index]
    if scene.layout is None:
        return f"{group}[{index}] ('{site.name}')"
    return f"station '{site.name}' on band '{scene.band}'"


def _turns(scene: Scene, site: Site) -> bool:
    """True where the look direction of a site changes as it moves."""
    return scene.layout is not None and scene.station(site.name).is_mobile


def _facing_away(scene: Scene) -> Iterator[str]:
    """Receivers, and transmitters with directive elements, that look away from the area.

    Receivers look for targets in front of their array only.
    """
    effects = {
        "transmitters": "its elements radiate little behind them",
        "receivers": "it looks for targets in front of its array alone",
    }
    for group, effect in effects.items():
        for index, site in enumerate(getattr(scene, group)):
            is_blind_behind = group == "receivers" or site.pattern != "isotropic"
            if _turns(scene, site) or not is_blind_behind:
                continue
            share = share_in_front(scene.box, site)
            if share >= LEAST_SHARE_IN_FRONT:
                continue

            # Orientation towards the center of the area.
            center_m = (scene.box.low_m + scene.box.high_m) / 2
            toward_m = center_m - site.position_m
            yaw_deg = math.degrees(math.atan2(toward_m[1], toward_m[0]))
            yield (
                f"{_key(scene, group, index)} has {share:.0%} of the area in front; {effect}: "
                f"turn it, orientation.yaw_deg: {yaw_deg:.0f} looks at the middle of the area"
            )


def _without_angles(scene: Scene) -> Iterator[str]:
    """Receivers whose arrays have no extent, as those of a single antenna."""
    for index, site in enumerate(scene.receivers):
        if min(angle_resolution(scene, site)) < NO_RESOLUTION_DEG:
            continue
        yield (
            f"{_key(scene, 'receivers', index)} measures no angle, as its array of {site.num_ant} "
            "has no extent across its look direction: give it more elements"
        )
