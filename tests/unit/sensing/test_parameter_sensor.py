"""Reported paths of a receiver: one for each target, no residuals, none in noise."""

import numpy as np
import pytest

from cooperative_isac.scene.geometry import bistatic_geometry
from cooperative_isac.sensing.beam_scan import BeamScan
from cooperative_isac.sensing.compressed_sensing import DelaySearch
from cooperative_isac.sensing.music import MusicSearch
from cooperative_isac.sensing.parameter_sensor import ParameterSensor, one_path_per_target
from cooperative_isac.sensing.path_finder import FoundPath

PLACES, VELOCITIES = ((22.0, 31.0, 0.0), (46.0, 18.0, 0.0)), ((4.0, -6.0, 0.0), (-5.0, 2.0, 0.0))
METHODS = [MusicSearch, DelaySearch, BeamScan]


@pytest.mark.parametrize("method", METHODS[:2])
def test_every_target_is_reported_once(plane, listen, method):
    listener = listen(plane)
    echo, _ = listener.echo(PLACES, VELOCITIES, 1e-5)
    found = ParameterSensor(plane, listener.site, plane.grid, method).sense(echo, listener.frame)
    assert len(found) == 2
    for place, velocity in zip(np.array(PLACES), np.array(VELOCITIES)):
        assert any(agree(plane, listener.site, parameters, place, velocity) for parameters in found)


def test_paths_of_transmitters_without_a_link_are_canceled_alone(plane, listen):
    listener = listen(plane)
    echo, _ = listener.echo(PLACES, VELOCITIES, 1e-5)
    sensor = ParameterSensor(plane, listener.site, plane.grid, MusicSearch)
    for linked in ([0], [1]):
        found = sensor.sense(echo, listener.frame, linked=linked)
        assert [target.transmitter for target in found] == linked * 2


def agree(scene, receiver, parameters, place, velocity):
    """True where parameters are those of a target within 0.05 of cosine, 1 m and 1 m/s."""
    sender, wavelength = (
        scene.transmitters[parameters.transmitter].position_m,
        scene.grid.wavelength_m,
    )
    path = bistatic_geometry(sender, receiver.position_m, place, velocity, wavelength)
    return (
        abs(np.cos(parameters.angle_rad) - path.aoa @ receiver.axis) < 0.05
        and abs(parameters.range_m - path.range_m) < 1
        and abs(parameters.range_rate_mps + path.doppler_hz * wavelength) < 1
    )


@pytest.mark.parametrize("method", METHODS)
def test_noise_is_no_target(plane, listen, method):
    listener = listen(plane)
    echo, _ = listener.echo(PLACES, VELOCITIES, 1e-12)
    assert (
        ParameterSensor(plane, listener.site, plane.grid, method).sense(echo, listener.frame) == ()
    )


def path(x, y, power, transmitter=0):
    return FoundPath(transmitter, np.array([x, y, 0.0]), 0.0, power)


def powers(paths):
    return [path.power for path in paths]


def test_one_of_two_paths_over_one_location_is_reported_strongest_first(plane):
    paths = [
        path(40, 31, 800.0),
        path(22.2, 31.1, 700.0, transmitter=1),
        path(22, 31, 900.0, transmitter=1),
    ]
    assert len(one_path_per_target(plane, plane.receivers[0], paths)) == 2
    assert powers(one_path_per_target(plane, plane.receivers[0], paths[::2])) == [900.0, 800.0]


def test_the_path_with_the_more_accurate_location_is_reported(plane):
    # Between transmitter and receiver a range does not locate along the line, at any power.
    receiver = plane.receivers[0]
    vague = path(15.0, 30.0, 5000.0, transmitter=0)
    sharp = path(15.1, 41.0, 500.0, transmitter=1)
    assert powers(one_path_per_target(plane, receiver, [vague, sharp])) == [500.0]


def test_the_residual_of_a_strong_path_is_no_target(plane):
    receiver, strong = plane.receivers[0], path(22, 31, 9000.0)
    leftover, other = path(25.5, 31, 100.0), path(45, 31, 101.0)
    assert powers(one_path_per_target(plane, receiver, [strong, leftover, other])) == [
        9000.0,
        101.0,
    ]
