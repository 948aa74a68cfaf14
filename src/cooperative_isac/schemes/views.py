"""Stations on one band, with the transmitters whose echoes they use."""

from __future__ import annotations

from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.station import LinkMode, Site
from cooperative_isac.waveform.frame import Frame


class StationView:
    """A receiving station on one band, with the transmitters whose echoes it uses.

    Its echoes also contain the signals of the band's other transmitters.

    view: the scene on the band
    linked: [num_linked], indices of the transmitters in use among those of the band
    """

    def __init__(self, view: Scene, station: str):
        self.view = view
        self.station = view.receiver(station).name
        self.linked = view.linked_transmitters(station)
        self._placed: Scene | None = None

    @property
    def band(self) -> str:
        """Name of the band."""
        return self.view.band

    def scene(self, frame: Frame) -> Scene:
        """The scene with the poses that its stations have in a frame.

        It is the same object as long as neither the transmitters nor the station move.
        """
        view = self.view.posed(frame.poses)
        placed = self._placed
        receiver = view.receiver(self.station)
        if (
            placed is not None
            and placed.receiver(self.station) is receiver
            and _same(placed.transmitters, view.transmitters)
        ):
            return placed
        self._placed = view
        return view


def receiving_views(scene: Scene, station: str) -> tuple[StationView, ...]:
    """A station on each band on which it has links.

    Raises KeyError with the names of the stations.
    """
    names = [each.name for each in scene.receiving_stations]
    if station not in names:
        raise KeyError(f"no receiving station '{station}' in scene '{scene.name}'; it has {names}")
    return tuple(
        StationView(view, station)
        for view in scene.views
        if any(site.name == station for site in view.receivers)
        and view.linked_transmitters(station)
    )


def only_view(scene: Scene, station: str, scheme: str) -> StationView:
    """A station on the only band on which it has links.

    Raises KeyError with the names of the stations, ValueError where it has links on several bands,
    or on none.
    """
    views = receiving_views(scene, station)
    if len(views) != 1:
        bands = ", ".join(view.band for view in views) or "none"
        raise ValueError(
            f"scheme '{scheme}' works on one band, and station '{station}' of scene "
            f"'{scene.name}' has links on: {bands}; use scheme local_ml"
        )
    return views[0]


def check_plain(scene: Scene, scheme: str) -> None:
    """Raise ValueError unless a scene has one band, stations at rest, and all links."""
    reason = plain_fault(scene)
    if reason:
        raise ValueError(
            f"scheme '{scheme}' works on one band, with stations at rest, and needs the links of "
            f"all transmitters; scene '{scene.name}' {reason}; use scheme local_ml"
        )


def check_whole(scene: Scene, scheme: str) -> None:
    """Raise ValueError unless a scene has all links, and stations at known positions.

    Static paths over links with a moving end are canceled path by path, which is for schemes that
    detect targets at the stations.
    """
    reason = links_fault(scene)
    remedy = "use scheme local_ml"
    suppression = moving_suppression(scene)
    if any(station.position_std_m for station in scene.stations):
        reason = "has stations with position_std_m"
    elif suppression:
        reason = f"has {suppression}"
        if scene.sensing.static_paths_by_default:
            remedy += ", or leave out the `world`"
    if reason:
        raise ValueError(
            f"scheme '{scheme}' needs the links of all transmitters, known positions of all "
            f"stations, and static paths kept where they move; scene '{scene.name}' {reason}; "
            f"{remedy}"
        )


def moving_suppression(scene: Scene) -> str:
    """Suppression of static paths beside stations that move, and its cause; empty without it."""
    sensing = scene.sensing
    is_moving = any(station.is_mobile for station in scene.stations)
    if sensing.static_paths == "keep" or not is_moving:
        return ""

    # Scenes with stations that move have no path file.
    cause = ", the default beside its `world`," if sensing.static_paths_by_default else ""
    return f"sensing.static_paths: {sensing.static_paths}{cause} and stations that move"


def check_observed(scene: Scene, scheme: str) -> None:
    """Raise ValueError unless targets can give the clock offsets of all links of a scene.

    The stations locate targets by their own echoes first: all that receive must transmit, too.
    """
    mode = scene.sensing.synchronization
    transmitting = {site.name for site in scene.transmitters}
    silent = [site.name for site in scene.receivers if site.name not in transmitting]
    if len(scene.bands) > 1 or any(station.is_mobile for station in scene.stations):
        fault = "it is for one band, with stations at rest: choose such a scene"
    elif scene.has_bodies:
        fault = "it is for point targets: leave out `bodies`"
    elif mode == "active_observation" and scene.link_mode is LinkMode.PASSIVE:
        fault = "`links: passive` leaves out the stations' own echoes; set active-passive"
    elif silent:
        names = ", ".join(silent)
        fault = f"stations must receive their own echoes, and {names} cannot: leave out duplex"
    else:
        return
    raise ValueError(
        f"scheme '{scheme}' cannot correct clock offsets by '{mode}', the "
        f"sensing.synchronization of scene '{scene.name}': {fault}, or use line_of_sight"
    )


def plain_fault(scene: Scene) -> str:
    """The reason why a scene is more than one band, stations at rest and all links; else empty."""
    if len(scene.bands) > 1:
        return f"has the bands {', '.join(band.name for band in scene.bands)}"
    if any(station.is_mobile for station in scene.stations):
        return "has stations that move"
    return links_fault(scene)


def links_fault(scene: Scene) -> str:
    """The reason why receivers of a scene do not use every transmitter of a band; else empty."""
    if any(
        len(view.linked_transmitters(site.name)) < len(view.transmitters)
        for view in scene.views
        for site in view.receivers
    ):
        return "has receivers that do not use every transmitter (links)"
    return ""


def _same(before: tuple[Site, ...], now: tuple[Site, ...]) -> bool:
    """True where sites are the same objects, as those of stations that did not move are."""
    return all(old is new for old, new in zip(before, now, strict=True))
