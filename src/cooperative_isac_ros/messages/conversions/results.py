"""Detections and tracks of a frame: records to messages and back."""

from __future__ import annotations

import math

import numpy as np
from cooperative_isac_msgs import msg as isac_msgs
from sensor_msgs.msg import PointCloud2, PointField

from cooperative_isac.fusion.detection import (
    NO_EVIDENCE,
    PARTIAL,
    Detection,
    Evidence,
    complete,
)
from cooperative_isac.scene.limits import LARGEST_SNR_DB, TRACK_MARGIN
from cooperative_isac.scene.model import TargetClass
from cooperative_isac.scene.station import Link
from cooperative_isac.tracking.track import Track, TrackStatus
from cooperative_isac_ros.messages.conversions.checks import (
    MAX_DETECTIONS,
    MAX_LINKS,
    MAX_MESSAGE_TRACKS,
    MAX_SITES,
    MAX_TIME_S,
    ConversionError,
    OnFault,
    check_names,
    check_ranges,
    convert_valid,
    ignore_fault,
)
from cooperative_isac_ros.messages.conversions.fields import (
    frame_stamp,
    map_header,
    result_fields,
    state_fields,
    state_of,
    to_bytes,
)
from cooperative_isac_ros.messages.records import DetectionList, TrackList

# Fields of a point of the detections' cloud, float32 each.
POINT_FIELDS = ("x", "y", "z", "vx", "vy", "vz", "snr_db")
FLOAT32_BYTES = 4

# Largest absolute value of log-likelihood ratios and log densities: far beyond those of any target.
LARGEST_EVIDENCE = 1e6


def detections_message(record: DetectionList) -> isac_msgs.Detections:
    """Detections message of a frame's detections."""
    return isac_msgs.Detections(
        **result_fields(record.frame, record.simulated),
        detections=[_detection_message(detection) for detection in record.detections],
        sites_missing=list(record.sites_missing),
    )


def detection_list(
    message: isac_msgs.Detections, on_fault: OnFault = ignore_fault
) -> DetectionList:
    """Valid detections of a Detections message, the strongest MAX_DETECTIONS of them.

    on_fault(event, reason, amount): called with `detections_refused` and `detections_over_limit`

    Raises ConversionError where the frame's stamp or the list of missing sites is invalid.
    """
    # frame and missing sites
    frame = frame_stamp(message)
    check_names("a list of detections", *message.sites_missing[:MAX_SITES])
    if len(message.sites_missing) > MAX_SITES:
        raise ConversionError(
            f"{len(message.sites_missing)} sites are missing; allowed: {MAX_SITES}"
        )

    # keep the strongest, in the message's order; each with its index there, for refusals
    numbered = list(enumerate(message.detections))
    surplus = len(numbered) - MAX_DETECTIONS
    if surplus > 0:
        by_strength = sorted(numbered, key=lambda pair: _strength(pair[1]), reverse=True)
        numbered = sorted(by_strength[:MAX_DETECTIONS], key=lambda pair: pair[0])
        on_fault(
            "detections_over_limit",
            f"frame {frame.number} has {len(message.detections)} detections; "
            f"the strongest {MAX_DETECTIONS} are used",
            surplus,
        )

    # convert the valid ones
    def converted(numbered_message: tuple[int, isac_msgs.Detection]) -> Detection:
        index, detection_message = numbered_message
        return _detection(detection_message, index)

    detections = convert_valid(
        converted,
        numbered,
        lambda reason: on_fault("detections_refused", f"frame {frame.number}: {reason}", 1),
    )
    return DetectionList(
        frame=frame,
        simulated=message.simulated,
        detections=detections,
        sites_missing=tuple(message.sites_missing),
    )


def _strength(message: isac_msgs.Detection) -> tuple[bool, float]:
    """Sort key: complete detections before partial ones, then by signal-to-noise ratio."""
    snr_db = message.snr_db if math.isfinite(message.snr_db) else -math.inf
    return message.num_paths != PARTIAL, snr_db


def _detection_message(detection: Detection) -> isac_msgs.Detection:
    """Message of a detection; the fields of evidence are 0 where a detection is no weak one."""
    links = [isac_msgs.Link(tx=link.tx, rx=link.rx, band=link.band) for link in detection.links]
    evidence = detection.evidence or NO_EVIDENCE
    return isac_msgs.Detection(
        **state_fields(detection),
        snr_db=float(detection.snr_db),
        sites=list(detection.sites),
        num_paths=int(detection.num_paths),
        links=links,
        log_likelihood_ratio=float(evidence.log_likelihood_ratio),
        log_false_density=float(evidence.log_false_density),
    )


def _detection(message: isac_msgs.Detection, index: int) -> Detection:
    """Detection of a message. Raises ConversionError where a value is out of range.

    index: of the detection in its list, for the messages of errors
    """
    who = f"detection {index}"
    check_ranges(who, message, snr_db=(-LARGEST_SNR_DB, LARGEST_SNR_DB), num_paths=(0, math.inf))

    # sites
    if len(message.sites) > MAX_SITES:
        raise ConversionError(f"{who} names {len(message.sites)} sites; allowed: {MAX_SITES}")
    check_names(who, *message.sites)

    # links
    if len(message.links) > MAX_LINKS:
        raise ConversionError(f"{who} names {len(message.links)} links; allowed: {MAX_LINKS}")
    links = tuple(Link(link.tx, link.rx, link.band) for link in message.links)
    check_names(who, *(name for link in links for name in (link.tx, link.rx, link.band)))

    # evidence of a weak detection; others have zeros in the message, and none in the record
    within = (-LARGEST_EVIDENCE, LARGEST_EVIDENCE)
    check_ranges(who, message, log_likelihood_ratio=within, log_false_density=within)
    evidence = Evidence(message.log_likelihood_ratio, message.log_false_density)

    return Detection(
        **state_of(message, who),
        snr_db=message.snr_db,
        sites=tuple(message.sites),
        num_paths=message.num_paths,
        links=links,
        evidence=None if evidence == NO_EVIDENCE else evidence,
    )


def tracks_message(record: TrackList) -> isac_msgs.Tracks:
    """Tracks message of all tracks after a frame."""
    tracks = [
        isac_msgs.Track(
            id=int(track.track_id),
            status=int(track.status.value),
            target_class=int(track.target_class.value),
            class_probability=float(track.class_probability),
            **state_fields(track),
            age_s=float(track.age_s),
            since_update_s=float(track.since_update_s),
            num_detections=int(track.num_detections),
        )
        for track in sorted(record.tracks, key=lambda track: track.track_id)
    ]
    return isac_msgs.Tracks(**result_fields(record.frame, record.simulated), tracks=tracks)


def track_list(message: isac_msgs.Tracks, on_fault: OnFault = ignore_fault) -> TrackList:
    """Valid tracks of a Tracks message, among its first MAX_MESSAGE_TRACKS.

    on_fault(event, reason, amount): called with `tracks_refused` and `tracks_over_limit`

    Raises ConversionError where the frame's stamp is invalid.
    """
    # use the first ones
    frame = frame_stamp(message)
    surplus = len(message.tracks) - MAX_MESSAGE_TRACKS
    if surplus > 0:
        on_fault(
            "tracks_over_limit",
            f"frame {frame.number} has {len(message.tracks)} tracks; "
            f"the first {MAX_MESSAGE_TRACKS} are used",
            surplus,
        )

    # convert the valid ones
    tracks = convert_valid(
        _track,
        message.tracks[:MAX_MESSAGE_TRACKS],
        lambda reason: on_fault("tracks_refused", f"frame {frame.number}: {reason}", 1),
    )
    return TrackList(frame, message.simulated, tracks)


def _track(message: isac_msgs.Track) -> Track:
    """Track of a message. Raises ConversionError where a value is out of range."""
    # state and numbers
    who = f"track {message.id}"
    state = state_of(message, who, TRACK_MARGIN)
    check_ranges(
        who,
        message,
        class_probability=(0, 1),
        age_s=(0, MAX_TIME_S),
        since_update_s=(0, MAX_TIME_S),
        num_detections=(1, math.inf),
    )

    # status and class
    try:
        status = TrackStatus(message.status)
        target_class = TargetClass(message.target_class)
    except ValueError as error:
        raise ConversionError(f"{who}: {error}") from None

    return Track(
        track_id=message.id,
        status=status,
        target_class=target_class,
        class_probability=message.class_probability,
        **state,
        age_s=message.age_s,
        since_update_s=message.since_update_s,
        num_detections=message.num_detections,
    )


def detections_cloud(record: DetectionList) -> PointCloud2:
    """PointCloud2 of the complete detections, with velocity and SNR as radar drivers publish them.

    A partial detection is left out.
    """
    # points
    points = [
        [*detection.position_m, *detection.velocity_mps, detection.snr_db]
        for detection in complete(record.detections)
    ]

    # layout of a point
    fields = [
        PointField(name=name, offset=FLOAT32_BYTES * index, datatype=PointField.FLOAT32, count=1)
        for index, name in enumerate(POINT_FIELDS)
    ]
    point_step = FLOAT32_BYTES * len(POINT_FIELDS)

    return PointCloud2(
        header=map_header(record.frame.stamp_ns),
        height=1,
        width=len(points),
        fields=fields,
        is_bigendian=False,
        point_step=point_step,
        row_step=point_step * len(points),
        is_dense=True,
        data=to_bytes(np.array(points, "<f4").tobytes()),
    )
