"""Weak candidates of several stations: targets that no station detects alone, and the false alarms
of noise.
"""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from scipy import integrate
from scipy.stats import multivariate_normal

from cooperative_isac.fusion.detection import PARTIAL
from cooperative_isac.fusion.fuse import fuse
from cooperative_isac.fusion.path_evidence import Pool, path_evidence, peak_height
from cooperative_isac.fusion.path_measurements import (
    LOBE_EXCESS,
    LOBE_EXCESS_OF_OTHERS,
    PathMeasurements,
    solve,
)
from cooperative_isac.fusion.reports import links_of
from cooperative_isac.fusion.soft_fusion import SoftFusion
from cooperative_isac.scene.geometry import bistatic_geometry
from cooperative_isac.sensing.candidates import Candidates
from cooperative_isac.sensing.information import doppler_information
from cooperative_isac.sensing.report import EchoReport, PathReport

POSITION_M = np.array([40.0, 60.0, 20.0])
VELOCITY_MPS = np.array([7.0, -5.0, 1.0])
# Below the detection threshold of a station, which is 15.
POWER = 14.5


@pytest.fixture(scope="module")
def campus():
    from cooperative_isac.scene.file.config import load_scene, with_power

    return with_power(load_scene("campus"), 24.0)


def candidates_of(scene, site, position_m, velocity_mps, power=POWER):
    """A candidate on every link of a station, without errors."""
    doppler_hz = [
        float(
            bistatic_geometry(
                transmitter.position_m,
                site.position_m,
                position_m,
                velocity_mps,
                scene.grid.wavelength_m,
            ).doppler_hz
        )
        for transmitter in scene.transmitters
    ]
    count = len(scene.transmitters)
    return Candidates(
        np.arange(count),
        np.tile(position_m, (count, 1)),
        np.array(doppler_hz),
        np.full(count, power),
    )


def noise_candidates(scene, count, generator):
    """Candidates all over the box, with exponential power."""
    limit_hz = 2 * scene.sensing.max_speed_mps / scene.grid.wavelength_m
    return Candidates(
        generator.integers(len(scene.transmitters), size=count),
        generator.uniform(scene.box.low_m, scene.box.high_m, (count, 3)),
        generator.uniform(-limit_hz, limit_hz, count),
        6.0 + generator.exponential(size=count),
    )


def test_three_stations_find_what_none_finds_alone(campus):
    generator = np.random.default_rng(1)
    soft = SoftFusion(campus)
    assert fuse(campus, ()) == ()
    sent = {}
    for site in campus.receivers:
        own = candidates_of(campus, site, POSITION_M, VELOCITY_MPS)
        noise = noise_candidates(campus, 60, generator)
        sent[site.name] = Candidates(
            *(
                np.concatenate([getattr(own, name), getattr(noise, name)])
                for name in ("transmitter", "point_m", "doppler_hz", "power")
            )
        )
    for name, own in sent.items():
        assert soft.fuse((), {name: own}) == ()

    (found,) = soft.fuse((), sent)
    assert found.evidence.log_likelihood_ratio > 5.0
    assert np.linalg.norm(found.position_m - POSITION_M) < 1.0
    assert np.linalg.norm(found.velocity_mps - VELOCITY_MPS) < 3.0
    assert found.num_paths == len(found.links) == 6
    assert found.sites == tuple(sorted(site.name for site in campus.receivers))


def test_paths_of_different_velocities_are_no_target(campus):
    soft = SoftFusion(campus)
    sent = {
        site.name: candidates_of(campus, site, POSITION_M, VELOCITY_MPS)
        for site in campus.receivers
    }
    turned = sent["rx1"]
    sent["rx1"] = replace(turned, doppler_hz=turned.doppler_hz + np.array([3000.0, -3000.0]))
    assert all("rx1" not in found.sites for found in soft.fuse((), sent))


def test_candidates_between_their_stations_do_not_end_the_fusion(campus):
    # On the line between its stations a path does not measure its range.
    soft = SoftFusion(campus)
    transmitter_m = campus.transmitters[0].position_m
    sent = {}
    for site in campus.receivers:
        middle_m = (transmitter_m + site.position_m) / 2
        sent[site.name] = candidates_of(campus, site, middle_m, np.zeros(3))
    target = candidates_of(campus, campus.receivers[0], POSITION_M, VELOCITY_MPS)
    sent[campus.receivers[0].name] = target
    assert soft.fuse((), sent) == ()


def test_static_clutter_is_no_target(campus):
    soft = SoftFusion(campus)
    sent = {
        site.name: candidates_of(campus, site, POSITION_M, np.zeros(3)) for site in campus.receivers
    }
    assert soft.fuse((), sent) == ()


def test_target_of_the_reports_is_not_detected_twice(campus):
    soft = SoftFusion(campus)
    sent = {
        site.name: candidates_of(campus, site, POSITION_M, VELOCITY_MPS)
        for site in campus.receivers
    }
    (found,) = soft.fuse((), sent)

    # A detection by reports of that target gets its location, and no second one is found.
    by_reports = replace(found, position_m=found.position_m + 1.0, evidence=None)
    (located,) = soft.fuse((), sent, (by_reports,))
    np.testing.assert_array_equal(located.position_m, found.position_m)
    assert located.evidence is None

    # One that is farther away, or incomplete, stays beside it.
    elsewhere = replace(by_reports, position_m=found.position_m + 10.0)
    incomplete = replace(by_reports, num_paths=PARTIAL)
    for other in (elsewhere, incomplete):
        first, second = soft.fuse((), sent, (other,))
        assert first is other
        np.testing.assert_array_equal(second.position_m, found.position_m)


def test_noise_makes_fewer_false_alarms_than_the_bound(campus):
    generator = np.random.default_rng(5)
    rate = 5.0
    soft = SoftFusion(campus, rate)
    counts = [
        len(
            soft.fuse(
                (),
                {site.name: noise_candidates(campus, 60, generator) for site in campus.receivers},
            )
        )
        for _ in range(20)
    ]
    assert np.mean(counts) <= rate + 3 * np.sqrt(rate / len(counts))


def path_by(soft, scene, link, power):
    """The pool of one path on each of some links, by way of the target at rest."""
    count = len(link)
    points_m = np.tile(POSITION_M, (count, 1))
    power = np.array(power, float)
    expected = soft.paths.expected_snr(np.array(link), points_m)
    paths = PathMeasurements(
        scene,
        soft.paths.links,
        np.array(link),
        points_m,
        np.zeros(count),
        power,
        peak_height(power, expected),
    )
    least = np.full(len(scene.receivers), 6.0)
    return Pool(paths, path_evidence(paths.power, expected), least)


def test_evidence_is_that_of_the_likeliest_other_cause(campus):
    """Twin: a loop over all subsets of the paths, the others alone or noise; a target at the same
    place is no other cause.
    """
    soft = SoftFusion(campus)
    pool = path_by(soft, campus, [0, 1, 3, 5], [60.0, 9.0, 30.0, 7.5])
    groups = [
        np.array(members)
        for size in range(1, 5)
        for members in itertools.combinations(range(4), size)
    ]
    scored = soft._scored(pool, groups)
    index = len(groups) - 1
    evidence = soft._evidence(scored, index)

    ratio_of = {tuple(own.tolist()): ratio for own, ratio in zip(groups, scored.ratios)}
    place_of = {tuple(own.tolist()): place for place, own in enumerate(groups)}
    prior = multivariate_normal(np.zeros(3), np.diag(campus.velocity_stds_mps**2))
    log_prior = prior.logpdf(scored.found.velocity_mps[index])
    log_prior -= np.log(np.prod(campus.box.high_m - campus.box.low_m))
    state = scored.found.state(index, 3)
    causes = []
    densities = []
    skipped = 0
    for subset in [(), *(members for members in ratio_of if len(members) < 4)]:
        if subset and scored.is_located[place_of[subset]]:
            skipped += 1
            continue
        total = ratio_of.get(subset, 0.0)
        of_targets = set(subset)
        for row in set(range(4)) - set(subset):
            total += max(ratio_of[(row,)], 0.0)
        of_targets |= {row for row in range(4) if ratio_of[(row,)] > 0}
        log_density = log_prior
        if of_targets:
            place = place_of[tuple(sorted(of_targets))]
            covariance = np.linalg.inv(scored.found.normal[place])
            cause = multivariate_normal(scored.found.state(place, 3), covariance)
            log_density = cause.logpdf(state)
        causes.append(total)
        densities.append(total + log_density)
    ratio = ratio_of[(0, 1, 2, 3)]
    assert evidence.log_likelihood_ratio == pytest.approx(ratio - max(causes))
    assert evidence.log_false_density == pytest.approx(max(densities) - ratio)
    assert max(causes) > 0 and 0 < skipped < len(groups) - 5


def test_noise_that_meets_a_path_of_a_target_is_no_detection(campus):
    """A strong path, alone far likelier of a target than of noise, and a weak one that meets it."""
    soft = SoftFusion(campus)
    sent = {
        site.name: candidates_of(campus, site, POSITION_M, VELOCITY_MPS)
        for site in campus.receivers[:2]
    }
    strong = replace(sent["rx1"].take(np.array([0])), power=np.array([200.0]))
    true = replace(sent["rx2"].take(np.array([1])), power=np.array([30.0]))
    assert len(soft.fuse((), {"rx1": strong, "rx2": true})) == 1

    near_m = true.point_m + np.array([2.5, 2.5, 0.0])
    noise = replace(true, point_m=near_m, power=np.array([8.0]))
    pool = soft.paths.pool((), {"rx1": strong, "rx2": noise})
    scored = soft._scored(pool, soft._hypotheses(pool))
    assert scored.ratios[-1] > 30 and scored.is_possible[-1]
    assert soft.fuse((), {"rx1": strong, "rx2": noise}) == ()


@pytest.mark.parametrize("snr", [2.0, 10.0, 50.0])
def test_evidence_of_a_path_is_the_ratio_of_two_exponentials(snr):
    """The mean of the ratio over noise is one, for any mean SNR of the target."""
    ratio = integrate.quad(lambda z: np.exp(path_evidence(z, snr) - z), 0, np.inf, limit=200)[0]
    assert ratio == pytest.approx(1.0, rel=1e-6)


def test_rounded_reports_have_the_evidence_of_their_echoes_and_wider_errors(campus):
    soft = SoftFusion(campus)
    receiver = campus.receivers[0].name
    exact = PathReport(1, 250.0, 40.0, np.eye(3))
    rounded = replace(exact, power=10.0, snr_loss=4.0)

    pools = [
        soft.paths.pool((EchoReport(receiver, POSITION_M, (path,), campus.band),), {})
        for path in (exact, rounded)
    ]
    assert pools[0].evidence == pools[1].evidence
    assert pools[0].paths.power == pools[1].paths.power
    assert pools[0].paths.height / pools[1].paths.height == pytest.approx(4.0)


def test_a_path_by_way_of_a_point_at_its_station_is_of_no_target(campus):
    """There the direction of the path has no value, and neither has its expected power."""
    soft = SoftFusion(campus)
    sent = {
        site.name: candidates_of(campus, site, POSITION_M, VELOCITY_MPS)
        for site in campus.receivers
    }
    (alone,) = soft.fuse((), sent)

    # The same beside candidates at a transmitter, at a receiver, and next to it.
    receiver_m = campus.receivers[0].position_m
    points_m = [campus.transmitters[0].position_m, receiver_m, receiver_m + 0.5]
    at_stations = Candidates(np.zeros(3, int), np.array(points_m), np.zeros(3), np.full(3, POWER))
    own = sent["rx1"]
    sent["rx1"] = Candidates(
        np.concatenate([own.transmitter, at_stations.transmitter]),
        np.concatenate([own.point_m, at_stations.point_m]),
        np.concatenate([own.doppler_hz, at_stations.doppler_hz]),
        np.concatenate([own.power, at_stations.power]),
    )
    (beside,) = soft.fuse((), sent)
    assert np.array_equal(beside.position_m, alone.position_m)
    assert np.array_equal(beside.covariance, alone.covariance)


@pytest.mark.parametrize("mean_snr", [4.0, 16.0])
def test_errors_of_weak_paths_have_the_variance_of_their_likelihood(mean_snr):
    """Doppler shifts at the highest point of a main lobe, with amplitudes that fluctuate.

    Without the height and the shape of the lobe the errors are larger than their information says.
    """
    generator = np.random.default_rng(7)
    num_symbols, runs = 64, 20000
    noise = generator.standard_normal((runs, num_symbols, 2)) @ np.array([1, 1j]) / np.sqrt(2)
    amplitude = generator.standard_normal((runs, 2)) @ np.array([1, 1j]) * np.sqrt(mean_snr / 2)
    echoes = noise + amplitude[:, None] / np.sqrt(num_symbols)

    # Shifts in units of the inverse of the frame's duration.
    shifts = np.linspace(-1.0, 1.0, 401)
    filters = np.exp(-2j * np.pi * np.outer(np.arange(num_symbols), shifts / num_symbols))
    power = np.abs(echoes @ filters) ** 2 / num_symbols
    peak = power.argmax(axis=1)
    highest = power[np.arange(runs), peak]
    chosen = (highest > 12) & (highest < 40)
    error = shifts[peak[chosen]]

    height = peak_height(highest[chosen], mean_snr)
    variance = 3 / (2 * np.pi**2 * height) * (1 + LOBE_EXCESS / height)
    assert np.mean(error**2 / variance) == pytest.approx(1.0, abs=0.1)
    by_power = 3 / (2 * np.pi**2 * highest[chosen])
    assert np.mean(error**2 / by_power) > 1.12


def test_the_main_lobe_of_several_values_is_wider_than_that_of_one():
    """Twin: second moments of exp(h sinc^2 sinc^2) on a lattice of two values."""
    height = 30.0
    values = np.linspace(-1.0, 1.0, 401)
    lobe = np.sinc(values) ** 2
    weights = np.exp(height * (lobe[:, None] * lobe - 1))
    variance = np.sum(weights * values[:, None] ** 2) / weights.sum()
    information = 2 * height * np.pi**2 / 3
    widening = 1 + (LOBE_EXCESS + LOBE_EXCESS_OF_OTHERS) / height
    assert variance * information == pytest.approx(widening, rel=0.01)


def test_peaks_of_a_random_field_have_the_density_of_the_closed_form():
    """Upcrossings of the Doppler spectrum of white noise: sqrt(det J / (2 pi)) exp(-u) per Hz."""
    generator = np.random.default_rng(2)
    num_symbols, fine, runs, level = 64, 32, 300, 4.0
    noise = generator.standard_normal((runs, num_symbols, 2)) @ np.array([1, 1j]) / np.sqrt(2)
    spectrum = np.fft.fft(noise, num_symbols * fine, axis=1) / np.sqrt(num_symbols)
    power = np.abs(spectrum) ** 2
    crossings = np.mean(np.sum((power < level) & (np.roll(power, -1, axis=1) >= level), axis=1))

    # Of symbols of unit period, whose spectrum is 1 Hz wide.
    variance_s2 = (num_symbols**2 - 1) / 12
    information = 2 * level * (2 * np.pi) ** 2 * variance_s2
    assert crossings == pytest.approx(np.sqrt(information / (2 * np.pi)) * np.exp(-level), rel=0.05)


def test_solution_has_the_errors_that_its_information_states(campus):
    generator = np.random.default_rng(4)
    power = 3000.0  # errors so small that ridges are straight
    links = links_of(campus)
    link = np.arange(len(links.names))
    height = np.full(6, power)
    exact = PathMeasurements(
        campus, links, link, np.tile(POSITION_M, (6, 1)), np.zeros(6), height, height
    )
    geometry = exact.geometry(link, exact.point_m, np.tile(VELOCITY_MPS, (6, 1)))
    covariance = np.linalg.inv(exact.location_information())
    deviation_hz = 1 / np.sqrt(doppler_information(campus.grid, power))
    distances = []
    for _ in range(200):
        away = [generator.multivariate_normal(np.zeros(3), one) for one in covariance]
        shifts_hz = geometry.doppler_hz + deviation_hz * generator.standard_normal(6)
        drawn = replace(exact, point_m=exact.point_m + np.array(away), doppler_hz=shifts_hz)
        found = solve(drawn, link, np.zeros(6, int))
        error = np.concatenate(
            [found.position_m[0] - POSITION_M, found.velocity_mps[0] - VELOCITY_MPS]
        )
        distances.append(error @ found.normal[0] @ error)
    assert np.mean(distances) == pytest.approx(6.0, rel=0.25)


def test_groups_of_any_sizes_are_solved_as_each_alone(campus):
    generator = np.random.default_rng(6)
    links = links_of(campus)
    link = np.arange(len(links.names))
    points_m = POSITION_M + generator.normal(scale=2.0, size=(6, 3))
    shifts_hz = generator.normal(scale=500.0, size=6)
    height = np.full(6, POWER)
    paths = PathMeasurements(campus, links, link, points_m, shifts_hz, height, height)
    groups = [np.array(own) for own in ([2], [0, 1, 3], [4, 5], [0, 1, 2, 3, 4, 5], [1, 4])]
    rows = np.concatenate(groups)
    together = solve(paths, rows, np.repeat(np.arange(5), [len(own) for own in groups]))
    for number, own in enumerate(groups):
        alone = solve(paths, own, np.zeros(len(own), int))
        assert np.allclose(together.position_m[number], alone.position_m[0], rtol=1e-9)
        assert np.allclose(together.velocity_mps[number], alone.velocity_mps[0], rtol=1e-9)
        assert np.allclose(together.normal[number], alone.normal[0], rtol=1e-9)
        assert together.misfit[number] == pytest.approx(alone.misfit[0], rel=1e-9)


def test_state_of_a_detection_is_a_mixture_over_the_sets_of_its_paths(campus):
    """Twin: a loop over the hypotheses. A peak of noise is beside the path of the last link."""
    soft = SoftFusion(campus)
    link = np.array([0, 1, 2, 3, 4, 4])
    pool = path_by(soft, campus, link, [18.0, 18.0, 17.0, 17.0, 14.0, 13.5])
    velocities_mps = np.tile(VELOCITY_MPS, (6, 1))
    moving = pool.paths.geometry(np.arange(6), pool.paths.point_m, velocities_mps)
    shifts_hz = moving.doppler_hz + np.array([0.0, 0.0, 0.0, 0.0, 0.0, 350.0])
    pool = replace(pool, paths=replace(pool.paths, doppler_hz=shifts_hz))
    groups = soft._hypotheses(pool)
    hypotheses = soft._scored(pool, groups)
    ratios = np.where(hypotheses.is_possible, hypotheses.ratios, -np.inf)
    best = int(ratios.argmax())
    mean, covariance = soft._mixture(hypotheses, best)

    states = []
    covariances = []
    weights = []
    for number, own in enumerate(groups):
        away_m = np.linalg.norm(hypotheses.found.position_m[number] - POSITION_M)
        if hypotheses.is_possible[number] and away_m < 3.0 and set(own) & set(groups[best]):
            states.append(hypotheses.found.state(number, 3))
            covariances.append(np.linalg.inv(hypotheses.found.normal[number]))
            weights.append(np.exp(hypotheses.ratios[number] - ratios[best]))
    expected = np.average(states, axis=0, weights=weights)
    spreads = [np.outer(state - expected, state - expected) for state in states]
    total = np.average(np.array(covariances) + spreads, axis=0, weights=weights)
    assert sorted(weights)[-2] > 0.1
    assert np.trace(covariance) > 1.05 * np.trace(np.linalg.inv(hypotheses.found.normal[best]))
    assert np.allclose(mean, expected)
    assert np.allclose(covariance, total)
