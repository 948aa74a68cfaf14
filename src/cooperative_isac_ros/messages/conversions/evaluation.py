"""Accuracy and timing of a frame: records to messages and back."""

from __future__ import annotations

from cooperative_isac_msgs import msg as isac_msgs

from cooperative_isac_ros.messages.conversions.checks import (
    MAX_ACCURACY,
    MAX_TIME_S,
    ConversionError,
    check_names,
    check_ranges,
)
from cooperative_isac_ros.messages.conversions.fields import (
    frame_fields,
    frame_stamp,
    result_fields,
)
from cooperative_isac_ros.messages.records import AccuracyRecord, Timing

# Stages of the processing chain whose time is published.
STAGES = ("encode", "decode", "track")
# Real-valued fields of an Accuracy message.
ACCURACY_FIELDS = (
    "gospa_m",
    "gospa_localization_m",
    "gospa_missed_m",
    "gospa_false_m",
    "nees",
    "error_to_bound_location",
    "error_to_bound_velocity",
)


def accuracy_message(record: AccuracyRecord) -> isac_msgs.Accuracy:
    """Accuracy message of one frame's errors, each clipped at MAX_ACCURACY."""
    errors = {name: min(float(getattr(record, name)), MAX_ACCURACY) for name in ACCURACY_FIELDS}
    return isac_msgs.Accuracy(
        **result_fields(record.frame, record.simulated),
        nees_samples=int(record.nees_samples),
        **errors,
    )


def accuracy_record(message: isac_msgs.Accuracy) -> AccuracyRecord:
    """Errors of an Accuracy message.

    Raises ConversionError where one is not finite, negative or above MAX_ACCURACY.
    """
    check_ranges("accuracy", message, **dict.fromkeys(ACCURACY_FIELDS, (0.0, MAX_ACCURACY)))
    errors = {name: getattr(message, name) for name in ACCURACY_FIELDS}
    return AccuracyRecord(
        frame=frame_stamp(message),
        simulated=message.simulated,
        nees_samples=message.nees_samples,
        **errors,
    )


def timing_message(record: Timing) -> isac_msgs.StageTiming:
    """StageTiming message of one stage and frame."""
    return isac_msgs.StageTiming(
        **frame_fields(record.frame),
        sequence=int(record.sequence),
        stage=record.stage,
        node=record.node,
        duration_ms=float(record.duration_ms),
        latency_ms=float(record.latency_ms),
    )


def timing(message: isac_msgs.StageTiming) -> Timing:
    """Timing of a StageTiming message.

    Raises ConversionError where the stage is unknown or a time is out of range.
    """
    if message.stage not in STAGES:
        check_names("a timing", message.stage)
        raise ConversionError(f"stage '{message.stage}' is unknown; allowed: {', '.join(STAGES)}")
    longest_ms = 1e3 * MAX_TIME_S
    check_ranges(
        f"stage '{message.stage}'", message, duration_ms=(0, longest_ms), latency_ms=(0, longest_ms)
    )
    return Timing(
        frame=frame_stamp(message),
        sequence=message.sequence,
        stage=message.stage,
        node=message.node,
        duration_ms=message.duration_ms,
        latency_ms=message.latency_ms,
    )
