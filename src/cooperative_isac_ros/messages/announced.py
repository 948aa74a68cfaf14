"""Bands, stations and signals of an announced frame."""

from __future__ import annotations

from collections.abc import Mapping

from cooperative_isac.fronthaul.downlink import unpack_frame
from cooperative_isac.pipeline import DrawnSignals
from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.station import Pose
from cooperative_isac.waveform.frame import Frame
from cooperative_isac.waveform.signal import Signal
from cooperative_isac_ros.messages.records import Announcement


def announced_bands(scene: Scene, announcement: Announcement) -> tuple[str, ...]:
    """Names of the bands on the air in a frame, in the order of the scene.

    Raises ValueError where one of them is not in the scene.
    """
    # those of the scene
    if not announcement.bands:
        return scene.on_air(announcement.frame.number)

    # those of the announcement
    known = [band.name for band in scene.bands]
    unknown = [name for name in announcement.bands if name not in known]
    if unknown:
        raise ValueError(f"band '{unknown[0]}' is not in the scene; it has {', '.join(known)}")
    return tuple(name for name in known if name in announcement.bands)


def receiving_stations(scene: Scene, announcement: Announcement) -> frozenset[str]:
    """Names of the stations that receive on at least one band of a frame.

    Raises ValueError where one of the bands is not in the scene.
    """
    views = (scene.on(band) for band in announced_bands(scene, announcement))
    return frozenset(site.name for view in views for site in view.receivers)


def announced_time_s(scene: Scene, announcement: Announcement) -> float:
    """Time from frame 0 to a frame, s."""
    if announcement.time_s is not None:
        return announcement.time_s
    return announcement.frame.number / scene.update_rate_hz


def announced_frame(
    scene: Scene,
    announcement: Announcement,
    reported: Mapping[str, Pose],
    prepared: Frame | None = None,
) -> Frame:
    """Signals of an announced frame, and the poses of moving stations.

    scene: with the seed of the announcement
    reported: poses of the stations that follow odometry or /tf, by station
    prepared: frame of the same scene and seed whose signals are drawn already; used where it is
        the announced one, to save the time of drawing them

    Returns the frame at its announced time.
    Raises ValueError where the announcement contradicts the scene or itself.
    """
    # signals, from the payload if there is one, else from the seed
    number = announcement.frame.number
    bands = announced_bands(scene, announcement)
    signals: Mapping[str, Signal] = DrawnSignals(scene, number, bands)
    if announcement.payload:
        signals = unpack_frame(scene, announcement.payload, bands)
        for signal in signals.values():
            if signal.number != number:
                raise ValueError(
                    f"the payload announced with frame {number} is of frame {signal.number}"
                )
    elif prepared is not None and (prepared.number, prepared.bands) == (number, bands):
        signals = prepared.signals

    # poses
    time_s = announced_time_s(scene, announcement)
    return Frame(number, signals, time_s, scene.poses_at(time_s, reported))
