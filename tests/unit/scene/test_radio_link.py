"""Link budget of UEs' packets: path loss, capacity and reach, beside sums in dB."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.scene.radio_link import RadioLink

# 23 dBm at 5.9 GHz, 360 kHz for 1 ms, noise figure of 7 dB.
LINK = RadioLink(
    wavelength_m=299792458 / 5.9e9,
    power_w=10**-0.7,
    noise_w=1.380649e-23 * 290 * 360e3 * 10**0.7,
    bandwidth_hz=360e3,
    duration_s=1e-3,
)


@pytest.mark.parametrize("distance_m", [10.0, 100.0, 400.0, 2000.0])
@pytest.mark.parametrize("exponent", [2.0, 3.0, 3.19])
def test_the_snr_is_the_sum_of_the_budget_in_db(distance_m, exponent):
    # Path loss of TR 38.901 table 7.4.1-1, and thermal noise of -173.98 dBm/Hz.
    path_loss_db = 32.45 + 20 * np.log10(5.9) + 10 * exponent * np.log10(distance_m)
    noise_dbm = -173.98 + 10 * np.log10(360e3) + 7
    snr_db = 23 - path_loss_db - noise_dbm - 8
    link = replace(LINK, path_loss_exponent=exponent, margin_db=8.0)
    assert 10 * np.log10(link.snr(distance_m)) == pytest.approx(snr_db, abs=0.02)


def test_the_capacity_falls_with_the_distance_and_limits_the_packet():
    distances_m = [1.0, 10.0, 100.0, 1000.0]
    capacities = [LINK.capacity_bits(distance_m) for distance_m in distances_m]
    assert capacities == sorted(capacities, reverse=True)
    assert capacities[2] == pytest.approx(360 * np.log2(1 + LINK.snr(100.0)))
    assert LINK.carries(int(capacities[2]), 100.0)
    assert not LINK.carries(int(capacities[2]) + 1, 100.0)


@pytest.mark.parametrize("num_bits", [100, 312, 696, 4000])
def test_a_packet_arrives_up_to_its_reach(num_bits):
    reach_m = LINK.reach_m(num_bits)
    assert LINK.carries(num_bits, 0.999 * reach_m) and not LINK.carries(num_bits, 1.001 * reach_m)


def test_a_packet_beyond_the_largest_capacity_reaches_nobody():
    too_large = int(LINK.capacity_bits(0.0)) + 1
    assert LINK.reach_m(too_large) == 0.0 and not LINK.carries(too_large, 0.0)


def test_extreme_links_have_a_reach():
    tiny = replace(LINK, bandwidth_hz=1.0, duration_s=1e-9, noise_w=1e-20)
    assert tiny.reach_m(312) == 0.0 and not tiny.carries(312, 1.0)
    endless = replace(LINK, power_w=1e17, duration_s=1e6)
    assert 1e6 < endless.reach_m(1) < np.inf and endless.carries(10**9, 1e6)


def test_more_bandwidth_time_or_power_reach_farther_and_a_margin_less_far():
    more = {
        "duration_s": 2e-3,
        "power_w": 2 * LINK.power_w,
        "path_loss_exponent": 2.5,
        "margin_db": 5.0,
    }
    for key, value in more.items():
        assert replace(LINK, **{key: value}).reach_m(312) > 1.1 * LINK.reach_m(312), key
