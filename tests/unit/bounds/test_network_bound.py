"""The bound of several bands and links with moving stations against finite differences."""

from dataclasses import replace

import numpy as np
import pytest
from networks import network

from cooperative_isac.bounds.crlb import crlb, network_crlb
from cooperative_isac.channel.paths import PathKind
from cooperative_isac.evaluation.live_bound import network_bound, true_paths
from cooperative_isac.pipeline import make_frame, paths_to
from cooperative_isac.scene.model import TargetClass, TargetState
from cooperative_isac.scene.station import LinkMode

LIGHT_MPS = 299_792_458.0
TIME_S = 1.0
# West cancels badly: its noise is that of its own signal.
RESIDUAL = (
    "    position_m: [-3, 30, 10]\n",
    "    position_m: [-3, 30, 10]\n    residual_self_interference_db: -105\n",
)


@pytest.fixture(scope="module")
def scene():
    return network(RESIDUAL)


@pytest.fixture(scope="module")
def frame(scene):
    return make_frame(scene, 10, time_s=TIME_S)


@pytest.fixture(scope="module")
def targets():
    places = (([20.0, 22.0, 1.0], [3.0, 4.0, 0.0]), ([40.0, 35.0, 15.0], [-5.0, 2.0, 1.0]))
    return [
        TargetState(f"t{i}", TargetClass.UNKNOWN, np.array(place), np.array(speed))
        for i, (place, speed) in enumerate(places)
    ]


def paths_of(scene, frame, targets):
    posed = scene.posed(frame.poses)
    return {
        band: true_paths(posed.on(band), frame.number, targets, frame.time_s)
        for band in frame.bands
    }


def length_m(site, receiver, place, speed, time_s):
    """Length of a path at a time around that of the frame."""
    point = place + time_s * speed
    ends = [end.position_m + time_s * end.velocity_mps for end in (site, receiver)]
    return sum(np.linalg.norm(point - end) for end in ends)


def path_echo(view, signal, receiver, index, place, speed):
    """Echo of one path of amplitude 1, in plain steps, flat."""
    grid = signal.grid
    site = view.transmitters[index]
    wave = view.grid.wavelength_m
    step_s = 1e-3
    ends = [length_m(site, receiver, place, speed, shift) for shift in (-step_s, step_s)]
    doppler_hz = -(ends[1] - ends[0]) / (2 * step_s) / wave
    delay_s = length_m(site, receiver, place, speed, 0.0) / LIGHT_MPS
    sides = []
    for end in (site, receiver):
        away = (place - end.position_m) / np.linalg.norm(place - end.position_m)
        sides.append(np.exp(2j * np.pi / wave * end.elements_m @ away) / np.sqrt(end.num_ant))
    every = np.eye(site.num_ant, dtype=complex)
    sent = np.einsum("a,nat->nt", sides[0], signal.toward(index, every).astype(complex))
    sent = sent * np.exp(-2j * np.pi * grid.subcarrier_offsets_hz * delay_s)[:, None]
    sent = sent * np.exp(2j * np.pi * grid.symbol_times_s * doppler_hz)
    return (sides[1][:, None, None] * sent).ravel()


def receiver_information(view, signal, receiver, targets, paths, noise_w, indices):
    """Information of one receiver about (locations, velocities), by central differences."""
    rows = [p for p in range(len(paths.delay_s)) if paths.transmitter[p] in indices]
    count = len(targets)
    derivatives = np.zeros((6 * count + 2 * len(rows), 4 * 32 * 16), complex)
    for number, row in enumerate(rows):
        owner = int(paths.scatterer[row])
        index = int(paths.transmitter[row])
        place = targets[owner].position_m
        speed = targets[owner].velocity_mps
        for axis in range(3):
            step = 1e-3 * np.eye(3)[axis]
            for begin, moved in ((0, (step, 0 * step)), (3 * count, (0 * step, step))):
                ends = [
                    path_echo(
                        view, signal, receiver, index, place + s * moved[0], speed + s * moved[1]
                    )
                    for s in (-1, 1)
                ]
                slope = paths.amplitude[row] * (ends[1] - ends[0]) / 2e-3
                derivatives[begin + 3 * owner + axis] += slope
        unit = path_echo(view, signal, receiver, index, place, speed) * abs(paths.amplitude[row])
        derivatives[6 * count + 2 * number] = unit
        derivatives[6 * count + 2 * number + 1] = 1j * unit
    fisher = 2 / noise_w * np.real(derivatives.conj() @ derivatives.T)
    wanted = 6 * count
    cross = fisher[:wanted, wanted:]
    return fisher[:wanted, :wanted] - cross @ np.linalg.solve(fisher[wanted:, wanted:], cross.T)


@pytest.mark.parametrize("mode", list(LinkMode))
def test_network_information_by_finite_differences(scene, frame, targets, mode):
    scene = replace(scene, link_mode=mode)
    posed = scene.posed(frame.poses)
    paths = paths_of(scene, frame, targets)
    links = {(link.band, link.rx, link.tx) for link in scene.links}
    expected = 0
    for band, signal in frame.signals.items():
        view = posed.on(band)
        for site in view.receivers:
            names = [transmitter.name for transmitter in view.transmitters]
            indices = [i for i, name in enumerate(names) if (band, site.name, name) in links]
            if not indices:
                continue
            noise_w = view.propagation.noise_power_w
            if site.name == "west":
                noise_w += 1.0 / 32 * 10**-10.5
            expected = expected + receiver_information(
                view, signal, site, targets, paths[band][site.name], noise_w, indices
            )
    found = np.linalg.inv(network_crlb(scene, frame, targets, paths).covariance)
    scale = np.sqrt(np.diag(expected))
    assert np.allclose(found / np.outer(scale, scale), expected / np.outer(scale, scale), atol=1e-3)


def test_a_second_band_adds_information(scene, frame, targets):
    assert frame.bands == ("high", "low")
    paths = paths_of(scene, frame, targets)
    alone = replace(frame, signals={"high": frame.on("high")})
    both, high = (
        np.linalg.inv(network_crlb(scene, used, targets, paths).covariance)
        for used in (frame, alone)
    )
    scale = np.sqrt(np.diag(both))
    added = np.linalg.eigvalsh((both - high) / np.outer(scale, scale))
    assert added.min() > -1e-6
    assert added.max() > 1e-3


def test_the_bound_of_a_frame_is_of_the_fading_that_is_received(scene, frame, targets):
    found = network_bound(scene, frame, targets).covariance
    expected = network_crlb(scene, frame, targets, paths_of(scene, frame, targets)).covariance
    assert np.array_equal(found, expected)
    # One band by itself is the bound of its view.
    view = scene.posed(frame.poses).on("high")
    alone = replace(frame, signals={"high": frame.on("high")})
    paths = {site.name: paths_to(view, 10, site, targets, TIME_S)[0] for site in view.receivers}
    assert np.allclose(
        network_bound(scene, alone, targets).covariance,
        crlb(view, frame.on("high"), targets, paths).covariance,
    )


def test_static_paths_of_moving_stations_are_no_targets(frame, targets):
    plain = network()
    world = network(extra="world: {}\n")
    paths = paths_of(world, frame, targets)
    assert PathKind.LINE_OF_SIGHT in paths["high"]["car"].kind
    found, expected = (network_bound(scene, frame, targets).location_m for scene in (world, plain))
    # A world draws the reflections in another order, of the same power.
    assert np.all(np.isfinite(found))
    assert np.allclose(np.log(found / expected), 0, atol=2)
    nothing = {
        band: {name: part.chosen(part.kind == PathKind.TARGET) for name, part in of_band.items()}
        for band, of_band in paths.items()
    }
    assert np.array_equal(network_crlb(world, frame, targets, nothing).location_m, found)
