"""Maps of locations against the plain matched filter and known targets."""

import numpy as np
import pytest

from cooperative_isac.channel.echo import thermal_noise
from cooperative_isac.scene.arrays import steering_vectors
from cooperative_isac.scene.geometry import bistatic_geometry
from cooperative_isac.sensing.location_map import LocationMap
from cooperative_isac.sensing.map_filters import highest

CELLS = 24


@pytest.fixture
def located(plane):
    return LocationMap(plane, plane.receivers[0], CELLS)


def plain_power(scene, site, frame, echo, transmitter, point_m, shift_hz):
    """|u^H y|^2 / (sigma^2 ||u||^2) of one path, with nothing shared and nothing approximated."""
    grid, sender = scene.grid, scene.transmitters[transmitter]
    path = bistatic_geometry(
        sender.position_m, site.position_m, point_m, np.zeros(3), grid.wavelength_m
    )
    sent = frame.toward(
        transmitter, steering_vectors(sender.elements_m, path.aod[None], grid.wavelength_m)
    )[:, 0]
    arrival = steering_vectors(site.elements_m, path.aoa[None], grid.wavelength_m)[0]
    turns = np.exp(-2j * np.pi * path.delay_s * grid.subcarrier_offsets_hz)[:, None] * np.exp(
        2j * np.pi * shift_hz * grid.symbol_times_s
    )
    replica = arrival[:, None, None] * (sent * turns)
    energy = np.sum(np.abs(replica) ** 2) * scene.propagation.noise_power_w
    return np.abs(np.vdot(replica, echo)) ** 2 / energy


def test_a_map_is_the_matched_filter_of_every_cell(plane, listen, located):
    listener = listen(plane)
    echo, _ = listener.echo([[22.0, 31.0, 0.0]], [[4.0, -6.0, 0.0]], 1e-5)
    maps = located.observe(echo, listener.frame).reshape(2, 3, -1)
    for transmitter in range(2):
        for cell in np.argsort(-maps[transmitter, 0])[:3]:
            plain = max(
                plain_power(
                    plane,
                    listener.site,
                    listener.frame,
                    echo,
                    transmitter,
                    located.points_m[cell],
                    shift,
                )
                for shift in located.shifts_hz
            )
            assert 10 ** maps[transmitter, 0, cell] - 1 == pytest.approx(plain, rel=0.1)


def test_targets_are_peaks_at_their_location_and_doppler_shift(plane, listen, located):
    cell = 7 * CELLS + 9
    velocity = np.array([5.0, -3.0, 0.0])
    listener = listen(plane)
    echo, _ = listener.echo([located.points_m[cell]], [velocity], 1e-5)
    maps = located.observe(echo, listener.frame)
    for transmitter, (power, doppler, _) in enumerate(maps):
        row, column = np.unravel_index(power.argmax(), power.shape)
        assert abs(row - 7) <= 1 and abs(column - 9) <= 1
        path = bistatic_geometry(
            plane.transmitters[transmitter].position_m,
            listener.site.position_m,
            located.points_m[cell],
            velocity,
            plane.grid.wavelength_m,
        )
        bin_hz = 1 / (plane.grid.num_symbols * plane.grid.symbol_period_s)
        assert doppler[7, 9] * located.max_doppler_hz == pytest.approx(
            path.doppler_hz, abs=0.2 * bin_hz
        )


def test_cells_around_a_target_agree_on_the_length_of_its_path(plane, listen, located):
    cell = 7 * CELLS + 9
    near = [cell - 1, cell, cell + 1, cell - CELLS]
    place_m = located.points_m[cell] + np.array([0.4, -0.3, 0.0])
    receiver = plane.receivers[0]
    ends = [(site.position_m, receiver.position_m) for site in plane.transmitters]

    def lengths(points_m):
        return np.array(
            [sum(np.linalg.norm(points_m - end, axis=-1) for end in pair) for pair in ends]
        )

    assert np.all(np.ptp(lengths(located.points_m[near]), axis=1) > 1.5)
    errors = []
    for number in range(1, 25):
        listener = listen(plane, number)
        echo, _ = listener.echo([place_m], [np.zeros(3)], 1e-5, seed=number)
        excess = (
            located.observe(echo, listener.frame)[:, 2].reshape(2, -1)[:, near]
            * located.max_excess_m
        )
        errors.append(lengths(located.points_m[near]) + excess - lengths(place_m)[:, None])
    assert np.abs(np.mean(errors, axis=0)).max() < 0.4, (
        "the other transmitter's symbols disturb, without bias"
    )
    assert np.sqrt(np.mean(np.square(errors))) < 0.7


def test_noise_alone_stays_low(plane, listen, located):
    listener = listen(plane)
    shape = listener.site.num_ant, plane.grid.num_subcarriers, plane.grid.num_symbols
    noise = thermal_noise(shape, plane.propagation.noise_power_w, np.random.default_rng(0))
    power = 10 ** located.observe(noise, listener.frame)[:, 0] - 1
    assert 1.0 < np.median(power) < 5.0 and power.max() < 25.0


def test_a_scene_in_space_is_refused(tilted):
    with pytest.raises(ValueError, match="dimension 3; maps of locations need dimension 2"):
        LocationMap(tilted, tilted.receivers[0], CELLS)


def test_the_peak_is_interpolated_between_columns():
    columns = np.arange(9.0)
    rows = np.stack([10 - (columns - place) ** 2 for place in (3.0, 4.3, 0.0, 8.0)])
    value, place = highest(rows)
    assert place == pytest.approx([3.0, 4.3, 0.0, 8.0]) and value == pytest.approx(rows.max(1))
