"""Limits of received messages, and the checks that enforce them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from cooperative_isac_ros.messages.plain_text import plain_text

# Largest number of a frame: reports hold it as a signed integer of 64 bits.
MAX_FRAME_NUMBER = 2**63 - 1
# Longest name of a site, band, scheme or scene, in characters: the longest that ROS allows.
MAX_NAME_LENGTH = 255
# Sites that one message may name.
MAX_SITES = 256
# Bands that one message may name.
MAX_BANDS = 64
# Links that may support one detection: those of 256 sites on 16 bands.
MAX_LINKS = 4096
# Detections of a frame that are used, the strongest ones: as many as a tracker keeps tracks.
MAX_DETECTIONS = 1024
# Tracks of a message that are used, with the deleted ones: twice what a tracker keeps.
MAX_MESSAGE_TRACKS = 2048
# Real numbers of an echo, two per sample: 1 GiB of float32.
MAX_ECHO_VALUES = 2**28
# Noise power of a sample in W: from below the thermal noise of 1 Hz to beyond any transmitter.
MIN_NOISE_W = 1e-30
MAX_NOISE_W = 1e6
# Largest error or ratio of an accuracy message, in m or as a number: beyond any scene.
MAX_ACCURACY = 1e12
# Longest age, latency or time of a frame in s: some 300 years, beyond any stamp.
MAX_TIME_S = 1e10

# Called with the name of a diagnostics counter, the reason, and how many messages it is about.
OnFault = Callable[[str, str, int], None]


class ConversionError(ValueError):
    """A message that can be deserialized, but whose values are invalid."""


def ignore_fault(event: str, reason: str, amount: int = 1) -> None:
    """OnFault of a caller that does not count faults."""


def check_names(who: str, *names: str) -> None:
    """Raise ConversionError unless every name is printable and short enough."""
    for name in names:
        if len(name) > MAX_NAME_LENGTH or not name.isprintable():
            raise ConversionError(
                f"{who} holds the name '{plain_text(name, 40)}'; allowed: "
                f"up to {MAX_NAME_LENGTH} printable characters"
            )


def check_band_names(who: str, bands: Sequence[str]) -> None:
    """Raise ConversionError where there are too many bands, or one has an invalid name."""
    if len(bands) > MAX_BANDS:
        raise ConversionError(f"{who} names {len(bands)} bands; allowed: {MAX_BANDS}")
    check_names(who, *bands)


def check_ranges(who: str, message, **ranges: tuple[float, float]) -> None:
    """Raise ConversionError unless each named field is finite and within its closed range."""
    for name, (low, high) in ranges.items():
        value = getattr(message, name)
        if not (math.isfinite(value) and low <= value <= high):
            raise ConversionError(f"{who} has {name} {value}; allowed: finite, {low} to {high}")


def convert_valid(convert: Callable, items: Iterable, on_refusal: Callable[[str], None]) -> tuple:
    """Convert the valid items and keep their order; an invalid one does not affect the others.

    on_refusal: called with the reason for each item that raises ConversionError
    """
    converted = []
    for item in items:
        try:
            converted.append(convert(item))
        except ConversionError as error:
            on_refusal(str(error))
    return tuple(converted)
