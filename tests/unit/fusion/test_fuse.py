"""Fusion of reports to detections: association, outliers, ghosts, static clutter."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cooperative_isac.fronthaul.quantize import information_matrix, information_widths
from cooperative_isac.fronthaul.report_packet import pack_reports, unpack_reports
from cooperative_isac.fusion.fuse import fuse
from cooperative_isac.metrics.consistency import nees, nees_interval
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.sensing.report import EchoReport, PathReport


@pytest.fixture(scope="module")
def campus():
    return load_scene("campus")


def quantized(scene, reports):
    """The reports as the center decodes them."""
    packets = [
        (report.receiver, pack_reports(scene, report.receiver, 0, [report])) for report in reports
    ]
    return [
        back for receiver, packet in packets for back in unpack_reports(scene, receiver, 0, packet)
    ]


def states(detections):
    return np.array([(detection.position_m, detection.velocity_mps) for detection in detections])


def test_a_target_is_found_through_the_quantizers(small, target, reports_of):
    truth = target((20.0, 30.0), (4.0, -6.0))
    (found,) = fuse(small, quantized(small, reports_of(small, truth)))
    assert np.allclose(found.position_m, truth.position_m, atol=0.01)
    assert np.allclose(found.velocity_mps, truth.velocity_mps, atol=0.05)
    assert found.sites == ("rx1", "rx2") and found.num_paths == 4
    assert found.snr_db == pytest.approx(10 * np.log10(4e3), abs=0.1)


def test_rounded_fields_leave_the_snr_as_it_is(small, target, reports_of):
    narrow = replace(small, sensing=replace(small.sensing, report_bits=7))
    reports = reports_of(small, target((20.0, 30.0), (4.0, -6.0)))
    (fine,) = fuse(small, quantized(small, reports))
    (coarse,) = fuse(narrow, quantized(narrow, reports))
    assert coarse.snr_db == pytest.approx(fine.snr_db, abs=1e-6)
    assert coarse.covariance[3, 3] > 5 * fine.covariance[3, 3]


def test_in_a_plane_height_has_the_accuracy_of_the_scene(small, target, reports_of):
    raised = replace(small, plane_height_m=1.5, height_std_m=0.3)
    (found,) = fuse(raised, reports_of(raised, target((20, 30, 1.5), (4, -6))))
    assert found.position_m[2] == 1.5 and found.velocity_mps[2] == 0
    assert found.covariance.shape == (6, 6)
    assert found.covariance[2, 2] == found.covariance[5, 5] == pytest.approx(0.09)
    assert not found.covariance[2, [0, 1, 3, 4, 5]].any()


def test_covariances_of_detections_are_consistent(small, target, reports_of):
    truth, generator, axes = target((20, 30), (4, -6)), np.random.default_rng(0), [0, 1, 3, 4]
    errors, covariances = [], []
    for _ in range(200):
        (found,) = fuse(small, quantized(small, reports_of(small, truth, generator)))
        away = found.position_m - truth.position_m, found.velocity_mps - truth.velocity_mps
        errors.append(np.concatenate(away)[axes])
        covariances.append(found.covariance[np.ix_(axes, axes)])
    low, high = nees_interval(200, 4, 0.999)
    assert low < nees(np.array(errors), np.array(covariances)).mean() < high


@pytest.mark.parametrize("name", ["small", "campus"])
def test_two_close_targets_stay_two(name, request, target, reports_of):
    scene, generator = request.getfixturevalue(name), np.random.default_rng(1)
    height = 12.0 if scene.dimension == 3 else 0.0
    truths = target((25, 30, height), (4, -6)), target((25, 32, height), (-5, 3))
    reports = [report for truth in truths for report in reports_of(scene, truth, generator)]
    for _ in range(5):
        generator.shuffle(reports)
        found = fuse(scene, reports)
        assert len(found) == 2 and all(
            len(detection.sites) == len(scene.receivers) for detection in found
        )
        for truth, detection in zip(truths, sorted(found, key=lambda one: one.position_m[1])):
            assert np.linalg.norm(detection.position_m - truth.position_m) < 0.6
            assert np.linalg.norm(detection.velocity_mps - truth.velocity_mps) < 1.0


def test_an_outlier_report_is_rejected(campus, target, reports_of):
    truth = target((40, 60, 14), (4, -6, 0))
    first, second, third = reports_of(campus, truth)
    # Opposite shifts: the same one on both paths could be a velocity.
    wrong = replace(
        third,
        paths=tuple(
            replace(path, doppler_hz=path.doppler_hz + shift)
            for path, shift in zip(third.paths, (900, -900))
        ),
    )
    found = fuse(campus, [first, second, wrong])
    assert found[0].sites == ("rx1", "rx2") and found[0].num_paths == 4
    assert np.allclose(found[0].position_m, truth.position_m, atol=0.01)
    assert np.allclose(found[0].velocity_mps, truth.velocity_mps, atol=0.05)


def test_a_report_far_away_is_of_another_target(campus, target, reports_of):
    truth = target((40, 60, 14), (4, -6, 0))
    first, second, third = reports_of(campus, truth)
    found = fuse(campus, [first, second, replace(third, point_m=third.point_m + [4.0, 0, 0])])
    assert found[0].sites == ("rx1", "rx2") and np.allclose(
        found[0].position_m, truth.position_m, atol=0.01
    )


@pytest.mark.parametrize("missing", [0, 1])
def test_a_missing_receiver_is_left_out(small, target, reports_of, missing):
    truth = target((40, 30), (7, -6))
    heard = [report for index, report in enumerate(reports_of(small, truth)) if index != missing]
    (found,) = fuse(small, heard)
    (everybody,) = fuse(small, reports_of(small, truth))
    assert np.allclose(found.position_m, truth.position_m, atol=0.01)
    assert np.allclose(found.velocity_mps, truth.velocity_mps, atol=0.1)
    assert np.trace(found.covariance) > np.trace(everybody.covariance)


def test_a_single_path_is_rejected_as_a_ghost(small, target, reports_of):
    report = reports_of(small, target((20, 30), (4, -6)))[0]
    assert fuse(small, [replace(report, paths=report.paths[1:])]) == ()


def test_one_path_of_each_pair_of_sites_belongs_to_a_target(small, target, reports_of):
    # rx1 reports the target twice over tx1: one of the two is a ghost.
    truth = target((20, 30), (4, -6))
    first, second = reports_of(small, truth)
    double = replace(first, point_m=first.point_m + [0.05, 0, 0], paths=first.paths[:1])
    found = fuse(small, [first, second, double])
    assert len(found) == 1 and found[0].num_paths == 4


def test_static_objects_are_clutter_where_the_scene_rejects_them(small, target, reports_of):
    resting = reports_of(small, target((20, 30), (0, 0)))
    moving = reports_of(small, target((40, 20), (4, -6)))
    found = fuse(small, resting + moving)
    assert len(found) == 1 and np.allclose(found[0].position_m, [40, 20, 0], atol=0.01)
    keeping = replace(small, sensing=replace(small.sensing, min_speed_mps=0.0))
    assert len(fuse(keeping, resting + moving)) == 2


def test_the_strongest_comes_first_and_order_of_arrival_is_irrelevant(small, target, reports_of):
    truths = {
        300.0: target((10, 40), (4, -6)),
        3e3: target((40, 20), (5, 5)),
        1e3: target((30, 50), (-7, 2)),
    }
    reports = [
        report
        for power, truth in truths.items()
        for report in reports_of(small, truth, power=power)
    ]
    found = fuse(small, reports)
    assert [round(detection.position_m[0]) for detection in found] == [40, 30, 10]
    assert np.allclose(states(found), states(fuse(small, reports[::-1])), atol=1e-9)


def test_no_reports_are_no_detections(small):
    assert fuse(small, []) == ()


@given(seed=st.integers(0, 2**32), count=st.integers(1, 12))
def test_meaningless_reports_raise_no_error(campus, seed, count):
    generator, widths = np.random.default_rng(seed), information_widths(3)
    reports = []
    for _ in range(count):
        indices = [[int(generator.integers(1 << width)) for width in widths] for _ in (0, 1)]
        paths = [
            PathReport(
                tx,
                generator.uniform(-8000, 8000),
                10 ** generator.uniform(0, 8),
                information_matrix(indices[tx], 3),
            )
            for tx in (0, 1)
        ]
        reports.append(
            EchoReport(
                f"rx{generator.integers(1, 4)}",
                generator.uniform(0, 3, 3),
                tuple(paths[int(generator.integers(2)) :]),
            )
        )
    for detection in fuse(campus, reports):
        for values in (detection.position_m, detection.velocity_mps, detection.covariance):
            assert np.all(np.isfinite(values))
