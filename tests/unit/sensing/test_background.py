"""Suppression of static paths and the background that learns them, against plain linear algebra."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.channel.static import static_echo
from cooperative_isac.pipeline import transmit
from cooperative_isac.sensing.background import predict, unknown_background, updated
from cooperative_isac.sensing.correlation import stream_reference
from cooperative_isac.sensing.static_paths import suppress, unknown_static, without_mean
from cooperative_isac.sensing.static_stage import StaticStage

PERIOD_S = 0.1


def complex_normal(generator, *shape):
    return (generator.standard_normal(shape) + 1j * generator.standard_normal(shape)) / np.sqrt(2)


@pytest.fixture
def learning(plane):
    """A scene with long memory whose receivers learn static paths."""
    sensing = replace(plane.sensing, static_paths="learn", static_memory_s=30.0)
    return replace(plane, sensing=sensing)


@pytest.fixture
def matrix(plane):
    """A static channel 60 dB above the noise."""
    num_tx_ant = sum(site.num_ant for site in plane.transmitters)
    num_rx_ant = plane.receivers[0].num_ant
    channel = complex_normal(
        np.random.default_rng(1), num_rx_ant, plane.grid.num_subcarriers, num_tx_ant
    )
    power_w = np.mean(np.abs(static_echo(transmit(plane, 0), channel)) ** 2)
    return channel * np.sqrt(1e6 * plane.propagation.noise_power_w / power_w)


def noise(scene, number):
    shape = scene.receivers[0].num_ant, scene.grid.num_subcarriers, scene.grid.num_symbols
    samples = complex_normal(np.random.default_rng([5, number]), *shape)
    return (samples * np.sqrt(scene.propagation.noise_power_w)).astype(np.complex64)


def heard(scene, matrix, number):
    frame = transmit(scene, number)
    return frame, (static_echo(frame, matrix) + noise(scene, number)).astype(np.complex64)


def share_left(frame, nuisance):
    """Share of a path without Doppler shift that is left for the search."""
    return stream_reference(frame, 1000.0, nuisance).static_share(np.zeros(1))[0]


def test_projection_is_that_of_a_plain_least_squares_fit(plane):
    frame = transmit(plane, 2)
    echo = complex_normal(np.random.default_rng(0), 3, *frame.streams[:, 0].shape)
    found = suppress(echo.astype(np.complex64), frame.streams, unknown_static(frame.streams))
    for antenna in range(3):
        for subcarrier in (0, 17, 63):
            basis, sample = frame.streams[subcarrier].T, echo[antenna, subcarrier]
            fitted = basis @ np.linalg.lstsq(basis, sample)[0]
            assert np.allclose(found[antenna, subcarrier], sample - fitted, atol=1e-5)


@pytest.mark.parametrize("symbols", ["payload", "reference"])
def test_single_precision_holds_eighty_decibels_below_static_paths(small, symbols):
    """A target at 20 dB after integration, static paths at 100 dB."""
    frame = transmit(small, 1).reference if symbols == "reference" else transmit(small, 1)
    generator = np.random.default_rng(2)
    num_ant, shape = 8, frame.streams[:, 0].shape
    count = num_ant * shape[0] * shape[1]
    channel = complex_normal(generator, num_ant, shape[0], frame.precoders.shape[1])
    static = static_echo(frame, channel.astype(np.complex64))
    static *= np.sqrt(1e10 / count / np.mean(np.abs(static) ** 2))  # noise has unit power
    quiet = complex_normal(generator, num_ant, *shape).astype(np.complex64)
    nuisance = unknown_static(frame.streams)
    if symbols == "payload":
        taken = np.any(frame.streams == 0, axis=1)
        quiet[:, taken], static[:, taken] = 0, 0
    left = suppress(static + quiet, frame.streams, nuisance)
    left = left - suppress(quiet, frame.streams, nuisance)
    assert np.sum(np.abs(left) ** 2) < 0.01 * 100  # the target has 100


def plain_background(scene, frames, echoes, antenna, subcarrier, forgetting, prior):
    """Kalman filter of one row of the channel on the symbols of a subcarrier.

    The covariance follows the group's mean Gram matrix; the prior comes back as it decays.
    """
    num_tx_ant = frames[0].precoders.shape[1]
    mean, information = np.zeros(num_tx_ant, complex), prior * np.eye(num_tx_ant, dtype=complex)
    for frame, echo in zip(frames, echoes):
        group = subcarrier // frame.group_size
        weights = frame.precoders[group].astype(complex)
        sent = weights @ frame.streams[subcarrier]  # [num_tx_ant, num_symbols]
        if frame is not frames[0]:
            information = forgetting * information + (1 - forgetting) * prior * np.eye(num_tx_ant)

        # Conditional mean: y = sent^T h + n.
        covariance = np.linalg.inv(information)
        left = echo[antenna, subcarrier] - sent.T @ mean
        innovation = sent.T @ covariance @ sent.conj()
        innovation += scene.propagation.noise_power_w * np.eye(len(left))
        mean = mean + covariance @ sent.conj() @ np.linalg.solve(innovation, left)

        members = range(group * frame.group_size, (group + 1) * frame.group_size)
        gram = np.mean([frame.streams[i].conj() @ frame.streams[i].T for i in members], axis=0)
        observed = weights.conj() @ gram @ weights.T / scene.propagation.noise_power_w
        information = information + observed
    return mean, information


def test_the_background_is_that_of_a_plain_kalman_filter(learning, matrix):
    forgetting, noise_power_w = 0.9, learning.propagation.noise_power_w
    frames, echoes = zip(*(heard(learning, matrix, number) for number in range(5)))
    background = unknown_background(frames[0], 8, noise_power_w)
    prior = 1e6 * background.prior  # a covariance that the plain filter can invert
    information = np.broadcast_to(prior * np.eye(16, dtype=complex), background.information.shape)
    background = replace(background, information=information, prior=prior)
    for number, (frame, echo) in enumerate(zip(frames, echoes)):
        if number:
            background = background.decayed(1 - forgetting)
        prediction = predict(background, frame, noise_power_w)
        _, correlation = without_mean(echo, frame.streams, prediction.nuisance.mean)
        background = updated(background, prediction, frame, correlation, noise_power_w)
    for antenna, subcarrier in ((0, 0), (5, 33)):
        mean, information = plain_background(
            learning, frames, echoes, antenna, subcarrier, forgetting, prior
        )
        scale = np.abs(mean).max()
        group = subcarrier // frames[0].group_size
        assert np.allclose(background.mean[subcarrier, antenna], mean, atol=1e-3 * scale)
        size = np.abs(information).max()
        assert np.allclose(background.information[group], information, atol=1e-6 * size)


def test_the_side_information_is_that_of_the_predicted_covariance(learning, matrix):
    noise_power_w = learning.propagation.noise_power_w
    background = unknown_background(transmit(learning, 0), 8, noise_power_w)
    for number in range(4):
        frame, echo = heard(learning, matrix, number)
        prediction = predict(background, frame, noise_power_w)
        _, correlation = without_mean(echo, frame.streams, prediction.nuisance.mean)
        background = updated(background, prediction, frame, correlation, noise_power_w)
    frame = transmit(learning, 2)  # its combinations were seen, so that Q is small
    prediction = predict(background, frame, noise_power_w)
    for subcarrier in (0, 30):
        weights = frame.precoders[subcarrier // frame.group_size].astype(complex)
        streams = frame.streams[subcarrier].astype(complex)
        information = background.information[subcarrier // frame.group_size]
        covariance = weights.T @ np.linalg.inv(information) @ weights.conj()
        expected = np.linalg.inv(
            streams.conj() @ streams.T + noise_power_w * np.linalg.inv(covariance)
        )
        found = prediction.nuisance.inverse[subcarrier]
        assert np.allclose(found, expected, rtol=1e-4, atol=1e-6 * np.abs(expected).max())
        mean = background.mean[subcarrier] @ weights
        assert np.allclose(prediction.nuisance.mean[:, subcarrier], mean, rtol=1e-4)


@pytest.fixture(params=["payload", "reference_only"])
def known(request, learning, small, matrix):
    """A scene that learns, a static channel on what is known of its frames, and that part."""
    if request.param == "payload":
        return learning, matrix, lambda frame: frame
    waveform = replace(
        learning.waveform,
        reference_subcarrier_stride=small.waveform.reference_subcarrier_stride,
        reference_symbol_stride=small.waveform.reference_symbol_stride,
    )
    return replace(learning, waveform=waveform), matrix[:, ::2], lambda frame: frame.reference


def echo_on(scene, known, matrix, number):
    frame = known(transmit(scene, number))
    echo = static_echo(frame, matrix)
    quiet = noise(scene, number)[:, : echo.shape[1], : echo.shape[2]]
    return frame, (echo + quiet).astype(np.complex64), quiet


def test_first_frames_are_projected_and_a_fixed_channel_is_learned(known):
    scene, matrix, part = known
    stage, shares = StaticStage(scene, scene.receivers[0]), []
    for number in range(60):
        frame, echo, _ = echo_on(scene, part, matrix, number)
        cleaned, nuisance = stage.prepare(echo, frame, PERIOD_S * frame.number)
        shares.append(share_left(frame, nuisance))
        if number == 0:
            projected = suppress(echo, frame.streams, unknown_static(frame.streams))
            size = np.abs(projected).max()
            assert np.allclose(cleaned, projected, atol=1e-3 * size)
    assert shares[0] < 1e-3 and shares[-1] > 0.5
    left = np.mean(np.abs(cleaned) ** 2) / scene.propagation.noise_power_w
    assert left == pytest.approx(1.0, abs=0.1)


def test_a_rewound_number_begins_anew_and_a_gap_does_not(learning, matrix):
    stage = StaticStage(learning, learning.receivers[0])
    for number in range(40):
        frame, echo = heard(learning, matrix, number)
        stage.prepare(echo, frame, PERIOD_S * frame.number)
    frame, echo = heard(learning, matrix, 45)
    assert share_left(frame, stage.prepare(echo, frame, PERIOD_S * frame.number)[1]) > 0.3
    for number in (45, 12):
        frame, echo = heard(learning, matrix, number)
        assert share_left(frame, stage.prepare(echo, frame, PERIOD_S * frame.number)[1]) < 1e-3


def test_after_a_long_gap_the_background_begins_anew(learning, matrix):
    stage = StaticStage(learning, learning.receivers[0])
    for number in range(40):
        frame, echo = heard(learning, matrix, number)
        stage.prepare(echo, frame, PERIOD_S * frame.number)
    frame, echo = heard(learning, matrix, 40 + 10_000)
    assert share_left(frame, stage.prepare(echo, frame, PERIOD_S * frame.number)[1]) < 1e-3


def test_independent_frames_give_no_background(learning, matrix):
    stage = StaticStage(learning, learning.receivers[0])
    for number in range(40):
        frame, echo = heard(learning, matrix, number)
        stage.prepare(echo, frame, None)
    frame, echo = heard(learning, matrix, 40)
    cleaned, nuisance = stage.prepare(echo, frame, None)
    assert nuisance.mean is None
    assert np.array_equal(cleaned, suppress(echo, frame.streams, unknown_static(frame.streams)))
    assert share_left(frame, stage.prepare(echo, frame, PERIOD_S * 40)[1]) < 1e-3


def test_another_static_channel_begins_anew_within_its_first_frame(learning, matrix):
    stage = StaticStage(learning, learning.receivers[0])
    for number in range(40):
        frame, echo = heard(learning, matrix, number)
        stage.prepare(echo, frame, PERIOD_S * frame.number)
    frame, echo = heard(learning, -matrix, 40)
    cleaned, nuisance = stage.prepare(echo, frame, PERIOD_S * frame.number)
    assert share_left(frame, nuisance) < 1e-3
    assert np.mean(np.abs(cleaned) ** 2) < 1.1 * learning.propagation.noise_power_w


def test_keep_changes_nothing(plane, matrix):
    frame, echo = heard(plane, matrix, 0)
    cleaned, nuisance = StaticStage(plane, plane.receivers[0]).prepare(
        echo, frame, PERIOD_S * frame.number
    )
    assert cleaned is echo and nuisance is None
