"""Fusion of reports as arrays against plain loops, on several bands and with moving stations."""

from dataclasses import replace

import numpy as np
import pytest
from plain_fusion import plain_clusters, plain_fuse
from scipy.stats import chi2

from cooperative_isac.fusion import points
from cooperative_isac.fusion.fuse import clusters, fuse
from cooperative_isac.fusion.grouping import Grower
from cooperative_isac.fusion.points import point_groups
from cooperative_isac.fusion.reports import links_of, reports_of
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.scene.geometry import bistatic_geometry
from cooperative_isac.sensing.information import doppler_information
from cooperative_isac.sensing.report import EchoReport, PathReport


@pytest.fixture(scope="module")
def network():
    """Two bands, monostatic links, and a receiver that drives."""
    scene = load_scene("two_bands")
    return scene.posed(scene.poses_at(3.0))


@pytest.fixture(scope="module")
def campus():
    return load_scene("campus")


def drawn_reports(scene, generator, num_targets, std_m=0.05, snr=1e3, lost=0.3):
    """Reports of targets anywhere in the area, with errors of the stated covariance."""
    size = scene.dimension
    reports, targets = [], []
    for _ in range(num_targets):
        point = np.array([0.0, 0.0, scene.plane_height_m])
        velocity = np.zeros(3)
        point[:size] = generator.uniform(scene.box.low_m[:size], scene.box.high_m[:size])
        velocity[:size] = generator.uniform(-8, 8, size)
        targets.append((point, velocity))
        for view in scene.views:
            for receiver in view.receivers:
                linked = view.linked_transmitters(receiver.name)
                heard = [index for index in linked if generator.random() > lost]
                if heard:
                    reports.append(
                        drawn_report(view, receiver, heard, point, velocity, generator, std_m, snr)
                    )
    order = generator.permutation(len(reports))
    return [reports[index] for index in order], targets


def drawn_report(view, receiver, heard, point, velocity, generator, std_m, snr):
    size = view.dimension
    information = [wishart(generator, size) / std_m**2 for _ in heard]
    noise = np.linalg.cholesky(np.linalg.inv(sum(information)))
    located = point.copy()
    located[:size] += noise @ generator.standard_normal(size)
    paths = []
    for index, own in zip(heard, information):
        sender = view.transmitters[index]
        shift = bistatic_geometry(
            sender.position_m,
            receiver.position_m,
            point,
            velocity,
            view.grid.wavelength_m,
            sender.velocity_mps,
            receiver.velocity_mps,
        ).doppler_hz
        power = snr * generator.uniform(0.5, 2)
        deviation = 1 / np.sqrt(doppler_information(view.grid, power))
        shift = shift + deviation * generator.standard_normal()
        paths.append(PathReport(index, float(shift), power, own, snr_loss=1 + index / 2))
    return EchoReport(receiver.name, located, tuple(paths), view.band)


def wishart(generator, size):
    """A random information matrix, of mean one."""
    draws = generator.standard_normal((size, 2 * size))
    return draws @ draws.T / (2 * size)


def scene_of(name, small, campus, network):
    return {"small": small, "campus": campus, "network": network}[name]


@pytest.fixture(params=[0, 1000], ids=["in step", "in turn"])
def few(request, monkeypatch):
    """Groups grow in step, as those of many reports, or in turn, as those of few."""
    monkeypatch.setattr(points, "FEW_REPORTS", request.param)


@pytest.mark.parametrize("name", ["small", "campus", "network"])
@pytest.mark.parametrize("seed", range(4))
def test_clusters_are_those_of_plain_loops(name, seed, small, campus, network, few):
    scene = scene_of(name, small, campus, network)
    generator = np.random.default_rng(seed)
    # Some errors exceed their covariance, and some targets are close together.
    honest, _ = drawn_reports(scene, generator, 8)
    wrong, _ = drawn_reports(scene, generator, 4, std_m=1.0, snr=10.0)
    spoiled = [
        replace(report, point_m=report.point_m + 0.1 * generator.standard_normal(3))
        if generator.random() < 0.2
        else report
        for report in honest + wrong
    ]
    expected = list(plain_clusters(scene, spoiled))
    found = list(clusters(scene, spoiled))
    assert len(found) == len(expected) > 8
    for (cluster, fitted), (plain, estimate) in zip(found, expected):
        assert [id(report) for report in cluster] == [id(report) for report in plain]
        assert np.allclose(fitted.position_m, estimate.position_m, atol=1e-6)
        assert np.allclose(fitted.velocity_mps, estimate.velocity_mps, atol=1e-6)
        assert np.allclose(fitted.misfits, estimate.misfits, rtol=1e-6, atol=1e-6)
        assert fitted.degrees == estimate.degrees
        if sum(len(report.paths) for report in cluster) >= scene.dimension:
            assert np.allclose(fitted.covariance, estimate.covariance, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("name", ["small", "campus", "network"])
def test_detections_are_those_of_plain_loops(name, small, campus, network, few):
    scene = scene_of(name, small, campus, network)
    for seed in range(3):
        generator = np.random.default_rng(seed)
        reports, _ = drawn_reports(scene, generator, 10, lost=0.5)
        expected = plain_fuse(scene, reports)
        found = fuse(scene, reports)
        assert [one.sites for one in found] == [one.sites for one in expected]
        assert [one.num_paths for one in found] == [one.num_paths for one in expected]
        for one, other in zip(found, expected):
            assert np.allclose(one.position_m, other.position_m, atol=1e-6)
            assert np.allclose(one.velocity_mps, other.velocity_mps, atol=1e-6)
            assert one.snr_db == pytest.approx(other.snr_db)


def test_every_report_is_in_one_group_and_neighborhoods_change_nothing(campus):
    generator = np.random.default_rng(5)
    reports, _ = drawn_reports(campus, generator, 40, std_m=0.05)
    arrays = reports_of(campus, reports)
    groups, found = point_groups(campus, arrays)
    assert np.array_equal(np.sort(groups.rows), np.arange(len(reports)))
    assert len(found.degrees) == groups.count

    grower = Grower(arrays, arrays.information, 0.02)
    together = Grower(arrays, arrays.information, 0.02)
    together.neighborhood = np.zeros(len(reports), int)
    assert len(np.unique(grower.neighborhood)) > 5
    first = together.grow(np.ones(len(reports), bool))
    apart = grower.grow(np.ones(len(reports), bool))
    assert np.array_equal(first.rows, apart.of(0))


def test_a_report_without_information_along_an_axis_has_a_gate(campus):
    generator = np.random.default_rng(6)
    reports, _ = drawn_reports(campus, generator, 5, lost=0.0)
    arrays = reports_of(campus, reports)

    # One direction is measured to 1 mm; rounding makes the inverse of such a matrix indefinite.
    information = arrays.information.copy()
    for row in range(len(information)):
        axis = generator.normal(size=3)
        information[row] = 1e6 * np.multiply.outer(axis, axis) / (axis @ axis)
    grower = Grower(arrays, information, 0.02)
    assert (np.linalg.eigvalsh(grower.covariance) > 0).all()
    assert (grower.reach_m > 1e3).all()


def test_two_bands_in_one_estimate_are_consistent(network):
    """Mean NEES of location and velocity over independent draws, within its chi-square bounds."""
    generator = np.random.default_rng(7)
    squares = {"both": [], "high": [], "low": []}
    volumes = {"both": [], "high": [], "low": []}
    for _ in range(250):
        reports, ((point, velocity),) = drawn_reports(network, generator, 1, lost=0.0)
        for bands, own in squares.items():
            chosen = [one for one in reports if bands in ("both", one.band)]
            ((cluster, found),) = clusters(network, chosen)
            assert len(cluster) == len(chosen)
            error = np.concatenate([found.position_m - point, found.velocity_mps - velocity])
            own.append(error @ np.linalg.solve(found.covariance, error))
            volumes[bands].append(np.linalg.slogdet(found.covariance)[1])
    for bands in ("both", "high"):
        low, high = chi2.ppf([0.005, 0.995], 6 * 250) / 250
        assert low < np.mean(squares[bands]) < high
    assert np.mean(volumes["both"]) < min(np.mean(volumes["high"]), np.mean(volumes["low"]))


def test_links_of_a_scene_count_each_band(network):
    links = links_of(network)
    assert len(links.wavelength_m) == sum(
        len(view.transmitters) * len(view.receivers) for view in network.views
    )
    for view in network.views:
        for site in view.receivers:
            first = links.first[view.band, site.name, None]
            for index, sender in enumerate(view.transmitters):
                assert np.array_equal(links.receivers_m[first + index], site.position_m)
                assert np.array_equal(links.transmitters_m[first + index], sender.position_m)
                assert links.wavelength_m[first + index] == view.grid.wavelength_m
                assert links.stations[links.receiver[first + index]] == site.name
