"""The whole chain in one process: the same bytes from the same seed, and tracks that hold their
targets.
"""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cooperative_isac.pipeline import (
    downlink_channels,
    make_frame,
    noise_ahead,
    receive,
    receive_echo,
    run,
    sum_rate,
    transmit,
)
from cooperative_isac.scene.draw import scene_targets
from cooperative_isac.tracking.track import TrackStatus

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def snapshots(small):
    return list(run(small, 25))


def test_snapshots_follow_the_update_rate(snapshots):
    assert [snapshot.number for snapshot in snapshots] == list(range(25))
    assert [snapshot.time_s for snapshot in snapshots] == pytest.approx(np.arange(25) / 10)
    assert all(set(snapshot.packets) == {"rx1", "rx2"} for snapshot in snapshots)


def test_the_same_seed_gives_the_same_bytes(small, snapshots):
    for before, again in zip(snapshots, run(small, 3)):
        assert again.packets == before.packets
        for one, other in zip(before.detections, again.detections, strict=True):
            assert one.position_m.tobytes() == other.position_m.tobytes()
    *_, other = run(replace(small, seed=6), 2)
    assert other.packets != snapshots[1].packets


def test_the_order_of_receivers_is_irrelevant(small, snapshots):
    turned = replace(small, receivers=small.receivers[::-1])
    frame, targets = transmit(small, 4), scene_targets(small, 0.4)
    for site in small.receivers:
        assert np.array_equal(
            receive_echo(small, frame, site.name, targets),
            receive_echo(turned, frame, site.name, targets),
        )
    for before, after in zip(snapshots[:3], run(turned, 3)):
        # The packet has the index of the receiver in the scene's list; its reports are the same.
        assert [len(after.packets[name]) for name in before.packets] == [
            *map(len, before.packets.values())
        ]
        assert np.allclose(
            [one.position_m for one in before.detections],
            [one.position_m for one in after.detections],
            atol=1e-9,
        )


def test_noise_drawn_ahead_changes_no_echo(two_tiny):
    """Neither where as many targets were expected, nor where the noise is of other draws."""
    frame = make_frame(two_tiny, 4, 1.0)
    targets = scene_targets(two_tiny, 1.0)
    early = scene_targets(two_tiny, 0.5)
    expected = receive(two_tiny, frame, "west", targets)
    noise = noise_ahead(two_tiny, frame, "west", early)
    assert set(noise) == set(expected) == {"high", "low"}
    fewer = noise_ahead(two_tiny, frame, "west", early[1:])
    earlier = noise_ahead(two_tiny, make_frame(two_tiny, 2, 0.5), "west", early)
    assert fewer["high"].samples.tobytes() != noise["high"].samples.tobytes()
    for drawn in (noise, noise, fewer, earlier):
        found = receive(two_tiny, frame, "west", targets, drawn)
        for band, echo in expected.items():
            assert found[band].samples.tobytes() == echo.samples.tobytes()


def test_noise_drawn_ahead_is_used(two_tiny):
    frame = make_frame(two_tiny, 4, 1.0)
    targets = scene_targets(two_tiny, 1.0)
    noise = noise_ahead(two_tiny, frame, "west", targets)
    silent = {
        band: replace(drawn, samples=np.zeros_like(drawn.samples)) for band, drawn in noise.items()
    }
    echoes = receive(two_tiny, frame, "west", targets)
    quiet = receive(two_tiny, frame, "west", targets, silent)
    for band, drawn in noise.items():
        left = echoes[band].samples - quiet[band].samples
        assert np.allclose(left, drawn.samples, atol=1e-3 * np.abs(drawn.samples).max())


def test_signals_are_drawn_once_where_they_are_used(two_tiny):
    frame = make_frame(two_tiny, 4)
    assert frame.bands == ("high", "low")
    signal = frame.on("low")
    assert frame.on("low") is signal
    assert np.array_equal(signal.indices, transmit(two_tiny.on("low"), 4).indices)
    with pytest.raises(KeyError, match="has no band 'mid'"):
        frame.on("mid")
    assert make_frame(two_tiny, 5).bands == ("high",)


def test_receivers_hear_different_noise_and_fading(small):
    frame = transmit(small, 0)
    first, second = (receive_echo(small, frame, name, ()) for name in ("rx1", "rx2"))
    mixed = np.vdot(first, second) / (np.linalg.norm(first) * np.linalg.norm(second))
    assert abs(mixed) < 0.05


def test_the_car_is_tracked(snapshots):
    """From the fifth frame on, one track under one number stays within half a meter."""
    numbers, errors = set(), []
    for snapshot in snapshots[5:]:
        car = next(target for target in snapshot.targets if target.name == "car")
        track = min(
            (track for track in snapshot.tracks if track.status is TrackStatus.CONFIRMED),
            key=lambda track: np.linalg.norm(track.position_m - car.position_m),
        )
        numbers.add(track.track_id)
        errors.append(np.linalg.norm(track.position_m - car.position_m))
        assert np.linalg.norm(track.velocity_mps - car.velocity_mps) < 3.0
    assert len(numbers) == 1 and max(errors) < 0.5


def test_the_static_scatterer_is_no_track(snapshots):
    for snapshot in snapshots:
        for detection in snapshot.detections:
            assert np.linalg.norm(detection.position_m[:2] - [30, 45]) > 1.0


def test_the_sum_rate_is_that_of_the_sinr(small):
    frame, channels, noise = (
        transmit(small, 2),
        downlink_channels(small, 2),
        small.users.noise_power_w,
    )
    total = 0.0
    for gains in channels @ frame.precoders:
        power = np.abs(gains) ** 2
        for user in range(3):
            others = sum(power[user, other] for other in range(3) if other != user)
            total += np.log2(1 + power[user, user] / (others + noise)) / len(channels)
    assert sum_rate(small, replace(frame, reference=None)) == pytest.approx(total, rel=1e-5)
    # Every second subcarrier of every second symbol is a reference symbol.
    assert sum_rate(small, frame) == pytest.approx(0.75 * total, rel=1e-5)


def test_an_unknown_receiver_or_scheme_is_named(small):
    with pytest.raises(KeyError, match="no receiver 'rx9' in scene 'small'; it has"):
        receive_echo(small, transmit(small, 0), "rx9", ())
    with pytest.raises(ValueError, match="scheme 'smoke_signals' is not known"):
        next(run(small, 1, "smoke_signals"))


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        (
            ("stages.py", "tests/scenes/tiny.yaml", "--frames", "2"),
            ("transmit", "receive", "encode", "decode", "track", "of the period"),
        ),
        (
            ("maps_ablation.py", "--frames", "1"),
            ("as shipped", "no codebooks", "least squares", "no path lengths"),
        ),
        (
            ("map_errors.py", "--frames", "1"),
            ("at a center, one path", "anywhere, both", "plain", "cleaned"),
        ),
        (
            ("zones.py", "--frames", "4", "--seeds", "1", "--variants", "B", "--unlimited"),
            ("found within 3 m", "continuity", "bits of a UE"),
        ),
        (
            ("links.py", "multi_bs", "--frames", "2"),
            ("active-passive", "small_uav1", "found", "NEES"),
        ),
    ],
    ids=lambda argument: argument[0],
)
def test_a_benchmark_runs(arguments, printed):
    script, *options = arguments
    command = [sys.executable, f"benchmarks/{script}", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    for words in printed:
        assert words in done.stdout


def test_a_scheme_with_its_own_sites_runs_there(small):
    *_, last = run(small, 3, "monostatic")
    assert list(last.packets) == ["bs"] and len(last.targets) == 2
