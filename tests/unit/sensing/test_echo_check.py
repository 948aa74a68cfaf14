"""Echoes of exact spherical waves, delivered as stated and with every fault that is recognized."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from unit.sensing.exact_echo import line_of_sight_echo, noise, target_echo

from cooperative_isac.channel.static import channel_matrix, static_echo
from cooperative_isac.pipeline import receive_echo, transmit
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.sensing.echo_check.assess import check_echoes
from cooperative_isac.sensing.echo_check.findings import OK, UNDECIDED, WRONG
from cooperative_isac.sensing.echo_check.matcher import line_of_sight
from cooperative_isac.sensing.echo_check.orders import element_orders, sample_orders

NUMBERS = (1, 2)
TARGETS = {
    "small": ((22.0, 31.0, 0.0), (4.0, -6.0, 0.0)),
    "campus": ((30.0, 45.0, 14.0), (5.0, -4.0, 1.0)),
}
CONVENTIONS = (
    "samples",
    "subcarriers",
    "symbols",
    "transmit elements",
    "delay sign",
    "receive elements",
    "time zero",
    "antenna swaps",
    "carrier",
)


class Recorded:
    """Frames and echoes of one receiver, and their check after a change."""

    def __init__(self, scene, late_s=0.0, target=True, direct=True):
        self.scene = scene
        self.site = scene.receivers[1]
        self.noise_w = scene.propagation.noise_power_w
        self.frames = [transmit(scene, number) for number in NUMBERS]
        self.echoes = []
        generator = np.random.default_rng(4)
        for frame in self.frames:
            shape = (self.site.num_ant, scene.grid.num_subcarriers, scene.grid.num_symbols)
            echo = noise(shape, self.noise_w, generator)
            if direct:
                echo += line_of_sight_echo(scene, self.site, frame, late_s)
            if target:
                echo += target_echo(scene, self.site, frame, *TARGETS[scene.name], 6e-7)
            self.echoes.append(echo.astype(np.complex64))

    def check(self, change=lambda echo: echo, noise_w=None, scene=None):
        changed = [change(echo) for echo in self.echoes]
        return check_echoes(
            scene or self.scene,
            self.site,
            self.frames,
            changed,
            [noise_w or self.noise_w] * len(changed),
        )


@pytest.fixture(scope="module", params=["small", "campus"])
def recorded(request, small):
    """Line of sight, a moving target and noise."""
    return Recorded(small if request.param == "small" else load_scene("campus"))


def wrong(assessment):
    return {check.name for check in assessment.checks if check.verdict == WRONG}


def test_the_document_lists_every_check(recorded):
    text = (Path(__file__).resolve().parents[3] / "docs" / "echo_interface.md").read_text()
    for check in recorded.check().checks:
        assert f"`{check.name}`" in text, check.name


def test_echoes_as_stated_pass_every_check(recorded):
    assessment = recorded.check()
    assert assessment.verdict == OK and not wrong(assessment)
    assert all(assessment.check(name).verdict == OK for name in CONVENTIONS)
    assert abs(assessment.delay_offset_s) < 0.2e-9
    assert assessment.noise_power_w == pytest.approx(recorded.noise_w, rel=0.05)
    assert "+0 dB from free space" in assessment.check("line of sight").text.replace(
        "-0 dB", "+0 dB"
    )


@pytest.mark.parametrize("signals", [("data", "prs", "dmrs"), ("csi_rs", "prs")])
def test_echoes_of_reference_signals_are_checked_by_those(small, signals):
    waveform = replace(small.waveform, signals=signals, reference_subcarrier_stride=0)
    sensing = replace(small.sensing, symbols="reference_only")
    recorded = Recorded(replace(small, waveform=waveform, sensing=sensing))
    assessment = recorded.check()
    assert assessment.verdict == OK and not wrong(assessment)
    assert all(assessment.check(name).verdict == OK for name in CONVENTIONS)
    reverse = recorded.check(lambda echo: echo[:, ::-1])
    assert "are in reverse order" in reverse.check("subcarriers").text


def test_echoes_of_data_and_code_words_are_checked_by_both(small):
    waveform = replace(
        small.waveform,
        signals=("data", "code"),
        code_power_share=0.3,
        reference_subcarrier_stride=0,
    )
    sensing = replace(small.sensing, symbols="all")
    recorded = Recorded(replace(small, waveform=waveform, sensing=sensing))
    assessment = recorded.check()
    assert assessment.verdict == OK and not wrong(assessment)
    assert assessment.noise_power_w == pytest.approx(recorded.noise_w, rel=0.05)


FRAGMENTS = ((0, 23), (44, 47), (52, 55))


def fragmented(scene):
    """The scene on 32 of its 64 subcarriers, without a comb of reference symbols."""
    grid = replace(scene.grid, num_subcarriers=32, fragments=FRAGMENTS)
    waveform = replace(
        scene.waveform, grid=grid, reference_subcarrier_stride=0, reference_symbol_stride=0
    )
    return replace(scene, waveform=waveform)


def test_echoes_of_a_fragmented_spectrum_are_checked_at_their_frequencies(small):
    recorded = Recorded(fragmented(small), target=False)
    assessment = recorded.check()
    assert assessment.verdict == OK and not wrong(assessment)
    assert all(assessment.check(name).verdict == OK for name in CONVENTIONS)


@pytest.mark.parametrize("late_ns", [-31.0, 73.0])
def test_a_constant_delay_is_measured_on_a_fragmented_spectrum(small, late_ns):
    assessment = Recorded(fragmented(small), late_ns * 1e-9, target=False).check()
    assert wrong(assessment) == {"time zero"}
    assert assessment.delay_offset_s == pytest.approx(late_ns * 1e-9, abs=0.2e-9)


def test_halves_of_a_fragmented_fft_are_those_of_the_comb(small):
    # An FFT over the 56 subcarriers from the first to the last used one, whose negative frequencies
    # come last: places 28 and above come first. Used ones are taken in that order.
    recorded = Recorded(fragmented(small), target=False)
    used = [place for first, last in FRAGMENTS for place in range(first, last + 1)]
    of_fft = [place for place in [*range(28, 56), *range(28)] if place in used]
    message = [used.index(place) for place in of_fft]
    assessment = recorded.check(lambda echo: echo[:, message])
    assert wrong(assessment) == {"subcarriers"}
    assert "with their halves swapped" in assessment.check("subcarriers").text
    # The halves of the list are others.
    assert not np.array_equal(message, np.roll(np.arange(32), 16))


def test_the_fft_of_a_fragmented_spectrum_has_the_size_of_its_span(small):
    # The comb of 56 places at every 4th subcarrier takes an FFT of 256, its 32 used ones 128.
    recorded = Recorded(fragmented(small), target=False)
    text = recorded.check(lambda echo: echo * np.float32(16)).check("noise power").text
    assert "sqrt(256) times too large (the FFT size 256)" in text
    text = recorded.check(lambda echo: echo * np.float32(56)).check("noise power").text
    assert "56 times too large (span of the fragments 56)" in text


MUTATIONS = {
    "samples": (np.conj, "samples", "conjugated"),
    "reversed subcarriers": (lambda echo: echo[:, ::-1], "subcarriers", "are in reverse order"),
    "mirrored spectrum": (
        lambda echo: np.roll(echo[:, ::-1], 1, axis=1),
        "subcarriers",
        "mirrored about",
    ),
    "fftshift": (lambda echo: np.fft.fftshift(echo, axes=1), "subcarriers", "halves swapped"),
    "off by one": (lambda echo: np.roll(echo, 1, axis=1), "subcarriers", "shifted up by one"),
    "reversed symbols": (lambda echo: echo[:, :, ::-1], "symbols", "are in reverse order"),
    "a symbol late": (lambda echo: np.roll(echo, 1, axis=2), "symbols", "one too late"),
    "reversed antennas": (lambda echo: echo[::-1], "receive elements", "mirrored"),
}


@pytest.mark.parametrize("case", MUTATIONS)
def test_each_wrong_order_is_reported_and_nothing_else(recorded, case):
    change, name, words = MUTATIONS[case]
    assessment = recorded.check(change)
    assert wrong(assessment) == {name}
    assert words in assessment.check(name).text and assessment.verdict == WRONG


def test_two_faults_at_once_are_both_reported(recorded):
    spectrum_inverted = recorded.check(lambda echo: np.roll(echo[:, ::-1], 1, axis=1).conj())
    assert wrong(spectrum_inverted) == {"samples", "subcarriers"}
    assert wrong(recorded.check(lambda echo: echo[::-1, :, ::-1])) == {
        "receive elements",
        "symbols",
    }


def test_a_transposed_planar_array_is_reported():
    campus = Recorded(load_scene("campus"))
    transposed = campus.check(
        lambda echo: echo.reshape(8, 4, 64, 64).swapaxes(0, 1).reshape(32, 64, 64)
    )
    assert (
        wrong(transposed) == {"receive elements"}
        and "y running fastest" in transposed.check("receive elements").text
    )


@pytest.mark.parametrize(
    ("mirror", "name"),
    [("rx", "receive elements"), ("tx", "transmit elements"), ("delay", "delay sign")],
)
def test_each_wrong_sign_of_a_phase_is_reported(recorded, mirror, name):
    """Channels with one sign turned, from closed forms of plane waves in plain loops."""
    scene = recorded.scene
    site = recorded.site
    echoes = []
    generator = np.random.default_rng(6)
    for frame in recorded.frames:
        echo = noise(recorded.echoes[0].shape, recorded.noise_w, generator)
        for index, transmitter in enumerate(scene.transmitters):
            away = transmitter.position_m - site.position_m
            distance = np.sqrt(sum(part**2 for part in away))
            direction = away / distance
            wavelength = 299_792_458.0 / scene.grid.carrier_hz
            ahead = {
                side: np.exp(2j * np.pi * (elements @ toward) / wavelength)
                for side, elements, toward in (
                    ("rx", site.elements_m, direction),
                    ("tx", transmitter.elements_m, -direction),
                )
            }
            over = np.exp(-2j * np.pi * scene.grid.subcarrier_offsets_hz * distance / 299_792_458.0)
            turned = {**ahead, "delay": over}
            turned[mirror] = turned[mirror].conj()
            signal = frame.toward(index, turned["tx"][None])[:, 0]
            echo += (
                wavelength
                / (4 * np.pi * distance)
                * turned["rx"][:, None, None]
                * (turned["delay"][:, None] * signal)
            )
        echoes.append(echo.astype(np.complex64))
    assessment = check_echoes(
        scene, site, recorded.frames, echoes, [recorded.noise_w] * len(echoes)
    )
    assert wrong(assessment) == {name}


@pytest.mark.parametrize("number", [0, 1])
def test_directive_elements_that_face_each_other_are_no_fault(number):
    """Sites on the diagonal of the yard have 8 dBi at both ends, 16 dB over isotropic elements."""
    scene = load_scene("yard")
    groups = ("transmitters", "receivers")
    directive = {
        group: tuple(replace(site, pattern="tr38901") for site in getattr(scene, group))
        for group in groups
    }
    scene = replace(scene, **directive)
    site = scene.receivers[number]
    frames = [transmit(scene, 0)]
    echoes = [receive_echo(scene, frames[0], site.name, ())]
    noise_w = scene.propagation.noise_power_w

    assert not wrong(check_echoes(scene, site, frames, echoes, [noise_w]))
    louder = [np.float32(10 ** (15 / 20)) * echo for echo in echoes]
    assert "line of sight" in wrong(check_echoes(scene, site, frames, louder, [noise_w]))


@pytest.mark.parametrize("late_ns", [-130.0, 9.3, 260.0])
def test_a_constant_delay_is_measured(small, late_ns):
    assessment = Recorded(small, late_ns * 1e-9).check()
    assert wrong(assessment) == {"time zero"}
    assert assessment.delay_offset_s == pytest.approx(late_ns * 1e-9, abs=0.2e-9)


def test_two_exchanged_antennas_are_found(recorded):
    def exchanged(echo):
        order = np.arange(len(echo))
        order[[1, 4]] = order[[4, 1]]
        return echo[order]

    assessment = recorded.check(exchanged)
    assert (
        wrong(assessment) == {"antenna swaps"}
        and "antennas 1 and 4" in assessment.check("antenna swaps").text
    )


@pytest.mark.parametrize(
    ("factor", "words"),
    [
        (64.0, "64 times too large"),
        (8.0, "sqrt(64) times too large"),
        (1 / 256, "256 times too small"),
    ],
)
def test_a_missing_scale_of_the_fft_is_reported(recorded, factor, words):
    assessment = recorded.check(lambda echo: echo * np.float32(factor))
    assert "noise power" in wrong(assessment) and words in assessment.check("noise power").text
    assert all(assessment.check(name).verdict == OK for name in CONVENTIONS)


def test_a_wrong_noise_power_is_found_and_its_size(recorded):
    assessment = recorded.check(noise_w=recorded.noise_w * 10**-0.5)
    text = assessment.check("noise power").text
    assert wrong(assessment) == {"noise power"} and "+5.0 dB" in text
    assert "noise_power_w is wrong, not the samples" in text
    whole_band = recorded.check(noise_w=recorded.noise_w * 64).check("noise power").text
    assert "noise_power_w is wrong, not the samples" in whole_band
    assert assessment.noise_power_w == pytest.approx(recorded.noise_w, rel=0.05)


def test_dead_and_silent_antennas_are_counted(recorded):
    def broken(echo):
        gains = np.ones((len(echo), 1, 1), np.float32)
        gains[3] = 0
        gains[5] = 0.01
        return echo * gains

    text = recorded.check(broken).check("antennas").text
    assert "antennas 3 are zero" in text and "antennas 5 are more than 20 dB" in text
    silence = recorded.check(np.zeros_like)
    assert (
        wrong(silence) == {"antennas"} and silence.check("antennas").text == "all samples are zero"
    )


def test_clipping_is_found_and_coarse_quantization_is_not_clipping(recorded):
    def rounded(echo, top):
        values = np.round(echo.view(np.float32) / (top / 127)).clip(-127, 127)
        return (values * (top / 127)).astype(np.float32).view(np.complex64)

    top = float(np.abs(recorded.echoes[0].view(np.float32)).max())
    assert recorded.check(lambda echo: rounded(echo, top)).check("clipping").verdict == OK
    assert recorded.check(lambda echo: rounded(echo, top / 2)).check("clipping").verdict == WRONG


@pytest.mark.parametrize("target", [False, True])
def test_without_a_line_of_sight_signs_are_not_checked(small, target):
    assessment = Recorded(small, target=target, direct=False).check()
    assert not wrong(assessment) and assessment.check("noise power").verdict == OK
    silent = ["receive elements", "transmit elements", "delay sign", "line of sight"]
    for name in silent if target else silent + ["subcarriers", "symbols", "samples"]:
        assert assessment.check(name).verdict == UNDECIDED
        assert assessment.check(name).text.startswith("cannot be checked: ")
    assert assessment.delay_offset_s is None


def test_a_mirror_image_with_the_same_samples_is_not_judged(small):
    """Boresight to boresight, a mirrored array gives the same samples."""
    ahead = replace(small, transmitters=small.transmitters[:1], receivers=small.receivers[:1] * 2)
    recorded = Recorded(ahead, target=False)
    assert recorded.check().check("receive elements").verdict == UNDECIDED
    assert not wrong(recorded.check(lambda echo: echo[::-1]))


def test_static_paths_above_the_noise_recommend_their_projection(recorded):
    advice = "sensing.static_paths: project"
    assert advice in recorded.check().check("static paths").text
    projected = replace(
        recorded.scene, sensing=replace(recorded.scene.sensing, static_paths="project")
    )
    assert advice not in recorded.check(scene=projected).check("static paths").text
    assert recorded.check().static_to_noise_db > 5


def test_static_power_is_that_of_the_line_of_sight(small):
    recorded = Recorded(small, target=False)
    direct = [line_of_sight_echo(small, recorded.site, frame) for frame in recorded.frames]
    expected_db = 10 * np.log10(np.mean(np.abs(direct) ** 2) / recorded.noise_w)
    assert recorded.check().static_to_noise_db == pytest.approx(expected_db, abs=0.1)


@pytest.mark.parametrize("name", ["small", "campus", "tilted"])
def test_the_predicted_line_of_sight_is_the_exact_one(name, small, tilted):
    scene = {"small": small, "tilted": tilted}.get(name) or load_scene(name)
    frame = transmit(scene, 1)
    for site in scene.receivers:
        exact = line_of_sight_echo(scene, site, frame)
        predicted = static_echo(frame, channel_matrix(scene, site, line_of_sight(scene, site)))
        # The exact waves are spherical, the predicted ones plane: some degrees of phase.
        assert np.linalg.norm(predicted - exact) < 0.1 * np.linalg.norm(exact)


def test_orders_restore_what_they_describe(small):
    generator = np.random.default_rng(0)
    echo = noise((2, 6, 5), 1.0, generator)
    orders = {
        (order.conjugated, order.subcarriers_name, order.symbols_name): order
        for order in sample_orders(replace(small.grid, num_subcarriers=6, num_symbols=5))
    }
    assert np.array_equal(orders[False, "", ""].restored(echo), echo)
    late = orders[True, "in reverse order", "one too late"]
    assert np.allclose(late.restored(np.roll(echo, 1, axis=2)[:, ::-1].conj()), echo)
    assert len(element_orders(load_scene("campus").receivers[0])) == 8


def test_reflections_alone_show_the_order_of_samples_but_no_angles(small):
    """Walls, as mirror images of the transmitters, while the direct way is blocked."""
    images = [
        replace(site, position_m=site.position_m * [-1, 1, 1] + [-7, 9, 0])
        for site in small.transmitters
    ]
    mirrored = replace(small, transmitters=tuple(images))
    recorded = Recorded(small, target=False, direct=False)
    recorded.echoes = [
        (echo + line_of_sight_echo(mirrored, recorded.site, frame)).astype(np.complex64)
        for echo, frame in zip(recorded.echoes, recorded.frames)
    ]
    stated = recorded.check()
    assert not wrong(stated) and stated.check("subcarriers").verdict == OK
    assert stated.check("receive elements").verdict == UNDECIDED
    changed = recorded.check(lambda echo: echo[:, ::-1])
    assert (
        wrong(changed) == {"subcarriers"}
        and "in reverse order" in changed.check("subcarriers").text
    )
    assert changed.noise_power_w == pytest.approx(recorded.noise_w, rel=0.05)


def test_a_receiver_without_a_transmitter_elsewhere_cannot_be_checked(small):
    alone = replace(small, transmitters=small.transmitters[:1])
    site = replace(alone.transmitters[0], name="rx2")
    here = replace(alone, receivers=(site, site))
    shape = (8, here.grid.num_subcarriers, here.grid.num_symbols)
    echo = noise(shape, here.propagation.noise_power_w, np.random.default_rng(0))
    assessment = check_echoes(here, site, [transmit(here, 1)], [echo.astype(np.complex64)], [1e-12])
    assert assessment.check("line of sight").verdict == UNDECIDED
    assert check_echoes(here, site, [], [], []).verdict == UNDECIDED


@pytest.mark.parametrize("cells", [-0.3, 0.2, 0.7])
def test_carriers_that_differ_are_measured(recorded, cells):
    grid = recorded.scene.grid
    cell_hz = 1 / (grid.num_symbols * grid.symbol_period_s)
    turn = np.exp(2j * np.pi * cells * cell_hz * grid.symbol_times_s).astype(np.complex64)
    check = recorded.check(lambda echo: echo * turn).check("carrier")
    assert check.verdict == WRONG
    measured_hz = float(check.text.split(" turns by ")[1].split(" Hz")[0])
    assert measured_hz == pytest.approx(cells * cell_hz, abs=0.03 * cell_hz)
