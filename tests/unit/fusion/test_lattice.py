"""Search on a lattice in several echoes: a plain matched filter, weak targets, and noise."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.fusion.echo_links import EchoName, Targets
from cooperative_isac.fusion.joint_ml import JointMl
from cooperative_isac.fusion.lattice import NUM_PARTS, Lattice
from cooperative_isac.pipeline import receive_echo, transmit
from cooperative_isac.scene.station import LinkMode
from cooperative_isac.sensing.local_ml import LocalMl
from cooperative_isac.sensing.surface import doppler_bins

STATES = [((22.0, 31.0, 0.0), (4.0, -6.0, 0.0)), ((41.0, 18.0, 0.0), (-5.0, 7.0, 0.0))]
NOTHING = Targets(np.zeros((0, 3)), np.zeros((0, 3)))


@pytest.fixture
def scene(small):
    """The small scene without clutter and reference symbols."""
    clutter = replace(small.propagation.clutter, positions_m=None, num_scatterers=0)
    return replace(
        small,
        waveform=replace(small.waveform, reference_subcarrier_stride=0, reference_symbol_stride=0),
        propagation=replace(small.propagation, clutter=clutter),
    )


class Center:
    """The lattice of a scene, and the echoes of a frame."""

    def __init__(self, scene, targets, number=1):
        self.scene = scene
        self.frame = transmit(scene, number)
        self.sensors = {
            EchoName(scene.band, site.name): LocalMl(scene, site, scene.grid)
            for site in scene.receivers
        }
        self.echoes = {
            name: receive_echo(scene, self.frame, name.receiver, targets) for name in self.sensors
        }
        self.joints = {
            name: sensor.correlate(self.echoes[name], self.frame)
            for name, sensor in self.sensors.items()
        }
        self.lattice = Lattice(scene, self.sensors)


def with_power(scene, change_db):
    """The scene with another gain of its reflections."""
    gain = scene.propagation.reference_gain * 10 ** (change_db / 10)
    return replace(scene, propagation=replace(scene.propagation, reference_gain=gain))


def link_power(center, name, transmitter, point_m):
    """Power of one link at a point and its best Doppler shift, element by element."""
    scene = center.scene
    grid = scene.grid
    site = scene.receiver(name.receiver)
    sender = scene.transmitters[transmitter]
    from_tx = point_m - sender.position_m
    from_rx = point_m - site.position_m
    delay_s = (np.linalg.norm(from_tx) + np.linalg.norm(from_rx)) / 299_792_458
    wave = 2 * np.pi / grid.wavelength_m
    departure = np.exp(1j * wave * sender.elements_m @ from_tx / np.linalg.norm(from_tx))
    arrival = np.exp(1j * wave * site.elements_m @ from_rx / np.linalg.norm(from_rx))
    sent = center.frame.toward(transmitter, departure[None])[:, 0]
    delays = np.exp(-2j * np.pi * delay_s * grid.subcarrier_offsets_hz)
    largest_hz = 2 * scene.sensing.max_speed_mps / grid.wavelength_m
    best = 0.0
    for shift_hz in np.linspace(-largest_hz, largest_hz, 33):
        turns = np.exp(2j * np.pi * shift_hz * grid.symbol_times_s)
        replica = arrival[:, None, None] * (delays[:, None] * sent * turns)
        energy = np.sum(np.abs(replica) ** 2)
        power = np.abs(np.vdot(replica, center.echoes[name])) ** 2
        best = max(best, power / energy / scene.propagation.noise_power_w)
    return best


def mean_noise(center):
    """What noise has on average in the sum of all links, which the statistic leaves out."""
    total = 0.0
    for name, joint in center.joints.items():
        bins, _ = doppler_bins(joint.maker.reference, center.sensors[name].max_doppler_hz)
        total += 2 * sum(1 / (count + 1) for count in range(len(bins)))
    return total


def test_the_statistic_adds_the_power_of_all_links(scene, target):
    # Links below the limit from which strong ones are compressed.
    center = Center(with_power(scene, -25), [target(*STATES[0])])
    statistic = center.lattice.statistic(center.joints)
    points_m = center.lattice.points_m
    noise = mean_noise(center)
    for index in [statistic.argmax(), 40, 200]:
        exact = sum(
            30 * np.log1p(link_power(center, name, transmitter, points_m[index]) / 30)
            for name in center.sensors
            for transmitter in range(2)
        )
        # Beams of the search are up to a third of their width off, Doppler bins a quarter.
        assert 0.5 * exact < statistic[index] + noise < 1.3 * exact
    assert np.linalg.norm(points_m[statistic.argmax()] - STATES[0][0]) < 5.0


@pytest.mark.parametrize("change_db", [0.0, -15.0])
def test_targets_are_found_one_after_another(scene, target, change_db):
    center = Center(with_power(scene, change_db), [target(*state) for state in STATES])
    found = center.lattice.search(center.joints, NOTHING, most=5)
    assert len(found) == len(STATES)
    for position_m, velocity_mps in STATES:
        nearest = np.linalg.norm(found.points_m - position_m, axis=1).argmin()
        assert np.linalg.norm(found.points_m[nearest] - position_m) < 0.5
        assert np.linalg.norm(found.velocities_mps[nearest] - velocity_mps) < 4.0

    # One of them is known already, or no more are wanted.
    known = found.keep(np.array([0]))
    assert len(center.lattice.search(center.joints, known, most=5)) == 2
    assert len(center.lattice.search(center.joints, known, most=1)) == 1


def test_noise_has_no_target(scene):
    for number in range(4):
        center = Center(scene, [], number)
        assert len(center.lattice.search(center.joints, NOTHING, most=5)) == 0


def test_the_parts_of_the_lattice_are_its_whole(scene, target):
    center = Center(scene, [target(*STATES[0])])
    lattice = center.lattice
    assert np.array_equal(np.concatenate(lattice.parts), np.arange(len(lattice.points_m)))
    whole = lattice.statistic(center.joints)
    for part, chosen in enumerate(lattice.parts):
        statistic = lattice.statistic(center.joints, [part])
        np.testing.assert_allclose(statistic[chosen], whole[chosen], rtol=1e-5)
        assert np.all(np.delete(statistic, chosen) == -np.inf)


def test_a_part_with_a_target_has_the_strongest_of_all_parts_found(scene, target):
    center = Center(scene, [target(*state) for state in STATES])
    lattice = center.lattice
    numbers = [
        len(lattice.search_part(center.joints, NOTHING, 5, part)) for part in range(NUM_PARTS)
    ]
    assert set(numbers) <= {0, 1}
    for position_m, _ in STATES:
        nearest = np.linalg.norm(lattice.points_m - position_m, axis=1).argmin()
        (of_target,) = (part for part, chosen in enumerate(lattice.parts) if nearest in chosen)
        assert numbers[of_target] == 1

    # Known targets are not found again.
    found = lattice.search(center.joints, NOTHING, most=5)
    for part in range(NUM_PARTS):
        assert len(lattice.search_part(center.joints, found, 5, part)) == len(STATES)


def test_noise_is_not_fitted(scene, monkeypatch):
    center = Center(scene, [])
    fits = []
    monkeypatch.setattr(JointMl, "fisher_scoring", lambda *arguments: fits.append(arguments))
    assert len(center.lattice.search(center.joints, NOTHING, most=5)) == 0
    assert not fits


def test_only_the_links_of_the_scene_are_summed(scene, target):
    # One link of two at each receiver: names of its stations as of a station that does both.
    names = {"tx1": "rx1", "tx2": "rx2"}
    transmitters = tuple(replace(site, name=names[site.name]) for site in scene.transmitters)
    whole = with_power(replace(scene, transmitters=transmitters), -25)
    center = Center(replace(whole, link_mode=LinkMode.ACTIVE_PASSIVE), [target(*STATES[0])])
    active = Lattice(replace(whole, link_mode=LinkMode.ACTIVE), center.sensors)
    passive = Lattice(replace(whole, link_mode=LinkMode.PASSIVE), center.sensors)
    parts = active.statistic(center.joints) + passive.statistic(center.joints)
    np.testing.assert_allclose(parts, center.lattice.statistic(center.joints), rtol=1e-6)

    states = Targets(np.array([STATES[0][0]]), np.array([STATES[0][1]]))
    for lattice, own in ((active, True), (passive, False)):
        match = JointMl(lattice.scene, center.joints).match(states)
        for name, fit in match.fits.items():
            senders = [transmitters[index].name for index in fit.state.transmitter]
            assert [sender == name.receiver for sender in senders] == [own]


def test_lattices_stay_within_their_sizes(scene):
    wide = replace(scene, box=replace(scene.box, high_m=np.array([2000.0, 2000.0, 0.0])))
    lattice = Lattice(wide, {})
    assert len(lattice.points_m) < 14_000
    assert np.all(lattice.points_m.max(axis=0) == [2000, 2000, 0])
    assert len(lattice.velocities_mps) <= 20_000
