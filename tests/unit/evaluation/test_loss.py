"""Patterns of packet loss, and a short run with them."""

from pathlib import Path

import numpy as np
import pytest

from cooperative_isac.evaluation.loss import (
    SETTLED_FRAMES,
    burst_loss,
    independent_loss,
    outage,
    record,
    replay,
)
from cooperative_isac.scene.file.config import load_scene

SMALL = Path(__file__).parents[2] / "scenes" / "small.yaml"
NUM_FRAMES = 30


@pytest.fixture(scope="module")
def recording():
    return record(load_scene(SMALL), "local_ml", NUM_FRAMES)


@pytest.fixture(scope="module")
def lossless(recording):
    return replay(recording, np.ones((NUM_FRAMES, 2), bool))


def silent(receivers):
    """Figures of a run in which some receivers send nothing for a second and a half."""
    return outage(SETTLED_FRAMES + 2, 15, receivers, NUM_FRAMES, 2)


def test_independent_losses_have_their_share():
    arrived = independent_loss(0.3, 10_000, 3, np.random.default_rng(1))
    assert arrived.shape == (10_000, 3)
    assert np.mean(~arrived) == pytest.approx(0.3, abs=0.01)


def test_bursts_have_their_share_and_length():
    arrived = burst_loss(0.3, 5.0, 40_000, 2, np.random.default_rng(2))
    assert np.mean(~arrived) == pytest.approx(0.3, abs=0.02)
    for column in arrived.T:
        begins = np.sum(column[:-1] & ~column[1:])
        assert np.sum(~column) / begins == pytest.approx(5.0, abs=0.3)
    both = np.mean(~arrived[:, 0] & ~arrived[:, 1])
    assert both == pytest.approx(0.09, abs=0.02)


def test_an_outage_removes_the_packets_of_its_receivers():
    arrived = outage(3, 2, [1], 8, 3)
    assert np.argwhere(~arrived).tolist() == [[3, 1], [4, 1]]


def test_one_receiver_left_keeps_all_tracks_near_their_targets(recording, lossless):
    alone = replay(recording, silent([1]))
    nobody = replay(recording, silent([0, 1]))
    assert alone.gospa_m.max() < 1.0
    assert nobody.gospa_m.max() > 2 * alone.gospa_m.max()
    assert lossless.gospa_m.max() < 0.5


def test_identities_survive_an_outage_of_all_receivers(recording):
    figures = replay(recording, silent([0, 1]))
    assert figures.identity_switches == 0 and figures.false_tracks == 0
