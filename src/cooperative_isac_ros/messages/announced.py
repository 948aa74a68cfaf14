"""The bands and signals that an announcement puts on the air."""

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
    """Names of the bands on the air in a frame, in the scene's order.

    ValueError: the scene has not all of them
    """
    if not announcement.bands:
        number = announcement.frame.number
        return tuple(band.name for band in scene.bands if band.is_on_air(number))
    known = [band.name for band in scene.bands]
    strange = [name for name in announcement.bands if name not in known]
    if strange:
        raise ValueError(f"band '{strange[0]}' is not in the scene; it has {', '.join(known)}")
    return tuple(name for name in known if name in announcement.bands)


def receiving_stations(scene: Scene, announcement: Announcement) -> frozenset[str]:
    """Names of the stations that receive on a band on the air in a frame.

    ValueError: the scene has not all of its bands
    """
    views = (scene.on(band) for band in announced_bands(scene, announcement))
    return frozenset(site.name for view in views for site in view.receivers)


def announced_time_s(scene: Scene, announcement: Announcement) -> float:
    """Time of a frame since frame 0, s."""
    if announcement.time_s is not None:
        return announcement.time_s
    return announcement.frame.number / scene.update_rate_hz


def announced_frame(
    scene: Scene,
    announcement: Announcement,
    reported: Mapping[str, Pose],
    prepared: Frame | None = None,
) -> Frame:
    """What is transmitted in an announced frame, and where moving stations are.

    scene: with the seed of the announcement
    reported: poses of the stations that follow odometry or /tf
    prepared: a frame of the same scene and seed, whose signals are used where it is this one
    ValueError: the announcement does not fit the scene or itself
    """
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
    time_s = announced_time_s(scene, announcement)
    return Frame(number, signals, time_s, scene.poses_at(time_s, reported))
