"""Link budget of packets that UEs send by radio: path loss, noise, and capacity.

Source: close-in reference distance model of 3GPP TR 38.901 table 7.4.1-1 (optional NLOS rows of UMa
and UMi), Shannon's capacity of a channel with white Gaussian noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

# Distance up to which the path loss is that of free space, m. Closer ends count as this far apart.
REFERENCE_M = 1.0


@dataclass(frozen=True)
class RadioLink:
    """Radio link on which each UE sends one packet in a frame.

    wavelength_m: of the carrier, m
    power_w: radiated by a UE, W
    noise_w: of the receiver in the bandwidth, W
    bandwidth_hz: of a packet, Hz
    duration_s: time on the air of a packet, s
    path_loss_exponent: beyond REFERENCE_M; 2 is free space, 3 a macro base station without line of
    sight
    margin_db: loss by shadowing, fading and finite code length that a packet must bear, dB; 8 dB is
    one standard deviation of the shadowing of that base station
    """

    wavelength_m: float
    power_w: float
    noise_w: float
    bandwidth_hz: float
    duration_s: float
    path_loss_exponent: float = 3.0
    margin_db: float = 8.0

    def snr(self, distance_m: float) -> float:
        """SNR over a distance that is left after the margin."""
        # Free space up to the reference distance, then the exponent.
        free_space = (4 * math.pi * REFERENCE_M / self.wavelength_m) ** 2
        ratio = max(distance_m, REFERENCE_M) / REFERENCE_M
        path_loss = free_space * ratio**self.path_loss_exponent

        margin = 10 ** (self.margin_db / 10)
        return self.power_w / (path_loss * margin * self.noise_w)

    def capacity_bits(self, distance_m: float) -> float:
        """Largest packet that arrives over a distance, bits."""
        return self.bandwidth_hz * self.duration_s * math.log1p(self.snr(distance_m)) / math.log(2)

    def carries(self, num_bits: int, distance_m: float) -> bool:
        """True where a packet arrives over a distance."""
        return num_bits <= self.capacity_bits(distance_m)

    def reach_m(self, num_bits: int) -> float:
        """Largest distance over which a packet arrives, m; 0: it arrives over none."""
        if not self.carries(num_bits, REFERENCE_M):
            return 0.0
        bits_per_hz = num_bits / (self.bandwidth_hz * self.duration_s)
        needed_snr = math.expm1(bits_per_hz * math.log(2))
        ratio = self.snr(REFERENCE_M) / needed_snr
        return REFERENCE_M * ratio ** (1 / self.path_loss_exponent)
