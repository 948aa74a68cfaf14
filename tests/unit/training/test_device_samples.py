"""Echoes computed by torch against those of the channel."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cooperative_isac.learned.construction import make_network
from cooperative_isac.scene.band import Interferer
from cooperative_isac.training.batches import Examples, batches
from cooperative_isac.training.device_samples import DeviceExamples
from cooperative_isac.training.samples import DrawnSamples, SampleRanges

GROUPS = [[3, 8], [5, 4]]
RANGES = SampleRanges(
    targets=(0, 2), scatterers=(0, 3), timing_offset_s=(0.0, 1e-8), frequency_offset_hz=(0.0, 200.0)
)


@pytest.fixture
def network(tiny):
    return make_network(
        tiny, "paper_dvqvae", {"hidden": 4, "latent_dim": 4, "features": 4, "num_targets": 2}
    )


def pair(network, source):
    """The same batches, drawn by the channel and computed by torch."""
    return (
        batches(examples, GROUPS, 0)
        for examples in (
            Examples(network, source, network.receivers),
            DeviceExamples(network, source),
        )
    )


@pytest.mark.parametrize("ranges", [SampleRanges(), RANGES], ids=["plain", "ranges"])
def test_echoes_are_those_of_the_channel(network, tiny, ranges):
    loud = replace(tiny, waveform=replace(tiny.waveform, power_w=1e9))  # noise is nothing beside it
    for drawn, computed in zip(*pair(network, DrawnSamples(loud, ranges)), strict=True):
        assert computed.numbers == drawn.numbers and torch.equal(
            computed.truth.state, drawn.truth.state
        )
        assert torch.allclose(computed.side_information, drawn.side_information, atol=1e-4)
        for name in network.receivers:
            scale = max(float(drawn.observations[name].abs().max()), 1e4)
            assert torch.allclose(
                computed.observations[name], drawn.observations[name], atol=1e-3 * scale, rtol=0
            )


def test_echoes_of_a_long_frame_migrate_as_those_of_the_channel(network, tiny):
    waveform = replace(tiny.waveform, power_w=1e9, grid=replace(tiny.grid, symbol_stride=4000))
    propagation = replace(tiny.propagation, range_migration=True)
    long = replace(tiny, waveform=waveform, propagation=propagation)
    still = replace(long, propagation=tiny.propagation)
    others = DeviceExamples(network, DrawnSamples(still))
    pairs = zip(*pair(network, DrawnSamples(long)), batches(others, GROUPS, 0), strict=True)
    for drawn, computed, other in pairs:
        for name in network.receivers:
            echo = drawn.observations[name]
            scale = float(echo.abs().max())
            assert torch.allclose(computed.observations[name], echo, atol=1e-3 * scale, rtol=0)
            assert not torch.allclose(other.observations[name], echo, atol=0.1 * scale, rtol=0)


def test_noise_has_unit_power_and_is_a_function_of_sample_and_receiver(network, tiny):
    quiet = replace(tiny, waveform=replace(tiny.waveform, power_w=1e-30))
    examples = DeviceExamples(network, DrawnSamples(quiet))
    first, again = (next(batches(examples, GROUPS, 0)).observations for _ in range(2))
    assert all(torch.equal(first[name], again[name]) for name in network.receivers)
    assert not torch.equal(first["rx1"], first["rx2"]) and not torch.equal(
        first["rx1"][0], first["rx1"][1]
    )
    assert np.allclose(first["rx1"].square().mean(dim=(0, 2, 3, 4)), 0.5, atol=0.02)


def test_workers_change_nothing(network, tiny):
    examples = DeviceExamples(network, DrawnSamples(tiny))
    for one, other in zip(batches(examples, GROUPS, 0), batches(examples, GROUPS, 1), strict=True):
        assert torch.equal(one.observations["rx2"], other.observations["rx2"])


def test_interference_is_refused(network, tiny):
    other = Interferer("other", np.array([-50.0, 0, 0]), 1.0)
    beside = replace(tiny, propagation=replace(tiny.propagation, interferers=(other,)))
    with pytest.raises(ValueError, match=r"has propagation\.interferers"):
        DeviceExamples(network, DrawnSamples(beside))
