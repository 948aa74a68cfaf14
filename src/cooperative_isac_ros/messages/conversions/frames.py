"""Announcements, echoes and packets of a frame: records to messages and back."""

from __future__ import annotations

import array
import math

import numpy as np
from cooperative_isac_msgs import msg as isac_msgs

from cooperative_isac.scene.limits import LARGEST_ECHO_DB
from cooperative_isac_ros.messages.conversions.checks import (
    MAX_ECHO_VALUES,
    MAX_NOISE_W,
    MAX_TIME_S,
    MIN_NOISE_W,
    ConversionError,
    check_band_names,
    check_names,
    check_ranges,
)
from cooperative_isac_ros.messages.conversions.fields import (
    UINT32_RANGE,
    frame_fields,
    frame_stamp,
    to_bytes,
)
from cooperative_isac_ros.messages.records import Announcement, EchoRecord, Packet

# Value of Frame.time_s where the announcement holds no time.
NO_TIME_S = -1.0


def frame_message(record: Announcement) -> isac_msgs.Frame:
    """Frame message of an announcement."""
    return isac_msgs.Frame(
        **frame_fields(record.frame),
        scene=record.scene,
        scene_fingerprint=record.scene_fingerprint,
        simulated=bool(record.simulated),
        seed=int(record.seed),
        payload=to_bytes(record.payload),
        downlink_bits=int(record.downlink_bits),
        bands=list(record.bands),
        time_s=NO_TIME_S if record.time_s is None else float(record.time_s),
    )


def announcement(message: isac_msgs.Frame) -> Announcement:
    """Announcement of a Frame message.

    Raises ConversionError where a name, the time or the frame's stamp is invalid, or where the
    message names too many bands.
    """
    check_band_names("an announcement", message.bands)
    check_names("an announcement", message.scene, message.scene_fingerprint)
    check_ranges("an announcement", message, time_s=(-MAX_TIME_S, MAX_TIME_S))

    # Below 0: not given (Frame.msg).
    time_s = message.time_s if message.time_s >= 0 else None
    return Announcement(
        frame=frame_stamp(message),
        scene=message.scene,
        scene_fingerprint=message.scene_fingerprint,
        simulated=message.simulated,
        seed=message.seed,
        payload=bytes(message.payload),
        downlink_bits=message.downlink_bits,
        bands=tuple(message.bands),
        time_s=time_s,
    )


def echo_message(record: EchoRecord) -> isac_msgs.Echo:
    """Echo message of an echo."""
    num_rx_ant, num_subcarriers, num_symbols = record.echo.shape

    # interleave real and imaginary parts
    iq = array.array("f")
    iq.frombytes(np.ascontiguousarray(record.echo, np.complex64).tobytes())
    return isac_msgs.Echo(
        **frame_fields(record.frame),
        site=record.site,
        simulated=bool(record.simulated),
        num_rx_ant=int(num_rx_ant),
        num_subcarriers=int(num_subcarriers),
        num_symbols=int(num_symbols),
        noise_power_w=float(record.noise_power_w),
        iq=iq,
        band=record.band,
    )


def echo_record(message: isac_msgs.Echo) -> EchoRecord:
    """Echo of an Echo message.

    Raises ConversionError where the sizes disagree, a value is not finite, or the samples cannot
    be an echo with this noise power.
    """
    check_names("an echo", message.site, message.band)

    # sizes and noise power
    shape = (message.num_rx_ant, message.num_subcarriers, message.num_symbols)
    num_values = 2 * math.prod(shape)
    if not 0 < num_values <= MAX_ECHO_VALUES or len(message.iq) != num_values:
        raise ConversionError(
            f"echo of '{message.site}' has {len(message.iq)} values in iq; sizes "
            f"{' x '.join(map(str, shape))} need {num_values}"
        )
    if not MIN_NOISE_W <= message.noise_power_w <= MAX_NOISE_W:
        raise ConversionError(
            f"echo of '{message.site}' has noise_power_w {message.noise_power_w}; "
            f"allowed: {MIN_NOISE_W:g} to {MAX_NOISE_W:g}"
        )

    # samples: finite, not all zero, not too far above the noise
    iq = np.frombuffer(message.iq, np.float32)
    if not np.isfinite(iq).all():
        raise ConversionError(f"echo of '{message.site}' holds values that are not finite")
    largest = float(np.abs(iq).max())
    if largest == 0:
        raise ConversionError(
            f"echo of '{message.site}' holds zeros only; a receiver has noise at least"
        )
    largest_db = 20 * math.log10(largest) - 10 * math.log10(message.noise_power_w)
    if largest_db > LARGEST_ECHO_DB:
        raise ConversionError(
            f"echo of '{message.site}' has a value {largest_db:.0f} dB above its noise; "
            f"allowed: {LARGEST_ECHO_DB:g} dB"
        )

    return EchoRecord(
        frame=frame_stamp(message),
        site=message.site,
        simulated=message.simulated,
        noise_power_w=message.noise_power_w,
        echo=iq.view(np.complex64).reshape(shape),
        band=message.band,
    )


def packet_message(record: Packet) -> isac_msgs.FeaturePacket:
    """FeaturePacket message of a packet."""
    return isac_msgs.FeaturePacket(
        **frame_fields(record.frame),
        sequence=int(record.sequence) % UINT32_RANGE,
        site=record.site,
        scheme=record.scheme,
        simulated=bool(record.simulated),
        data=to_bytes(record.data),
        bands=list(record.bands),
    )


def packet(message: isac_msgs.FeaturePacket) -> Packet:
    """Packet of a FeaturePacket message; its bytes are validated by the scheme that decodes them.

    Raises ConversionError where the packet is empty or a name is invalid.
    """
    if not message.data:
        raise ConversionError(f"packet of '{message.site}' for frame {message.number} is empty")
    check_names("a packet", message.site, message.scheme)
    check_band_names("a packet", message.bands)
    return Packet(
        frame=frame_stamp(message),
        sequence=message.sequence,
        site=message.site,
        scheme=message.scheme,
        simulated=message.simulated,
        data=bytes(message.data),
        bands=tuple(message.bands),
    )
