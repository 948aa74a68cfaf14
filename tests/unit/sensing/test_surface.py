"""The likelihood surface against matched filters of single cells."""

import numpy as np
import pytest

from cooperative_isac.sensing.correlation import stream_reference
from cooperative_isac.sensing.replica import ReplicaMaker
from cooperative_isac.sensing.surface import doppler_bins, likelihood_surface

PLACES = {"small": ((22.0, 31.0, 0.0),), "campus": ((30.0, 45.0, 14.0),)}


def test_each_cell_has_the_power_of_its_own_matched_filter(listener):
    echo, _ = listener.echo(PLACES[listener.scene.name], ((4.0, -6.0, 0.0),), 1e-5)
    max_doppler_hz = listener.sensor.max_doppler_hz
    reference = stream_reference(listener.frame, max_doppler_hz)
    noise_power_w = listener.scene.propagation.noise_power_w
    correlation = reference.correlate(echo)
    search = listener.sensor.search
    surface = likelihood_surface(search, reference, correlation, noise_power_w, max_doppler_hz)

    maker = ReplicaMaker(listener.scene, listener.site, reference)
    _, shifts_hz = doppler_bins(reference, max_doppler_hz)
    strongest = int(surface.power.sum(axis=0).argmax())
    for cell in (strongest, 0, len(search.points_m) - 1):
        for index in range(len(listener.scene.transmitters)):
            filters, energy = maker.filters_at(index, search.points_m[cell][None])
            beam = search.beams[search.beam_of_cell[cell]]
            behind = np.einsum("r,rikb->ikb", beam, correlation)
            blocks = np.einsum("ik,ikb->b", filters[0].conj(), behind)
            powers = []
            for shift_hz in shifts_hz:
                turn = np.exp(-2j * np.pi * shift_hz * reference.block_times_s)
                powers.append(np.abs(blocks @ turn) ** 2 / (energy[0] * noise_power_w))
            assert surface.power[index, cell] == pytest.approx(max(powers), rel=1e-3)
            found_hz = surface.doppler_hz[index, cell]
            assert powers[int(np.flatnonzero(shifts_hz == found_hz)[0])] == pytest.approx(
                max(powers), rel=1e-3
            )


def test_bins_that_callers_share_cannot_be_changed(listener):
    reference = stream_reference(listener.frame, listener.sensor.max_doppler_hz)
    for values in doppler_bins(reference, listener.sensor.max_doppler_hz):
        with pytest.raises(ValueError, match="read-only"):
            values[0] = 7
