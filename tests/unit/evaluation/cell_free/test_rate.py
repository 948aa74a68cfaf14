"""Rate and distortion: Shannon's bound, the theory of estimates before quantization, the rows."""

import numpy as np
import pytest

from cooperative_isac.evaluation.cell_free import command, fronthaul
from cooperative_isac.evaluation.cell_free.rate import (
    CURVES,
    KEYS,
    codec_rows,
    draw_rates,
    location_bound_m,
    rate_rows,
)
from cooperative_isac.evaluation.cell_free.results import CRLB
from cooperative_isac.evaluation.cell_free.scenes import changed_scene

SCENE = "cell_free_compact"
BOUND = {"root_mean_location_m": 0.1, "root_mean_velocity_mps": 0.2}


def figures(scale):
    """Figures of a scheme that do not come from a measurement."""
    return {key: scale * place for place, key in enumerate(KEYS, start=1)}


def test_uniform_quantizer_is_254_thousandths_of_a_bit_from_the_bound():
    # Known result for fine steps: a uniform scalar quantizer has 2 pi e / 12 times the error of the
    # bound, 0.254 bit along each axis (Gish and Pierce 1968).
    scene = changed_scene(SCENE, {})
    extent_m = (scene.box.high_m - scene.box.low_m)[:2]
    levels = 256
    error_m = np.sqrt(np.sum((extent_m / levels) ** 2) / 12)

    # Both receivers share the bits of one target.
    bits = np.array([2 * np.log2(levels) / len(scene.receivers)])
    (bound_m,) = location_bound_m(scene, 1, bits)
    assert (error_m / bound_m) ** 2 == pytest.approx(2 * np.pi * np.e / 12, rel=1e-6)

    # A bit less along each axis doubles the error; two targets need twice the bits, less one.
    (coarse_m,) = location_bound_m(scene, 1, bits - 2 / len(scene.receivers))
    assert coarse_m == pytest.approx(2 * bound_m)
    (two_m,) = location_bound_m(scene, 2, 2 * bits - 1 / len(scene.receivers))
    assert two_m == pytest.approx(bound_m)


def test_estimates_before_quantization_need_fewer_bits_than_quantized_samples():
    # A delay in noise, -10 dB on each of 256 subcarriers: estimated from samples of one bit a
    # part, or estimated first and rounded to 10 bits, fifty times fewer.
    generator = np.random.default_rng(3)
    num_subcarriers = 256
    num_runs = 400
    index = np.arange(num_subcarriers) - (num_subcarriers - 1) / 2
    cells = np.arange(-4, 4, 1 / 64)
    replicas = np.exp(2j * np.pi * np.multiply.outer(index, cells) / num_subcarriers)

    truth = generator.uniform(-3, 3, num_runs)
    phase = np.exp(2j * np.pi * generator.random(num_runs))
    signal = np.exp(2j * np.pi * np.multiply.outer(truth, index) / num_subcarriers)
    noise = generator.normal(size=(2, num_runs, num_subcarriers)) * np.sqrt(10 / 2)
    samples = phase[:, None] * signal + noise[0] + 1j * noise[1]

    def estimate(values):
        return cells[np.argmax(np.abs(values.conj() @ replicas), axis=1)]

    step = 8 / 2**10
    estimated_first = np.round(estimate(samples) / step) * step
    quantized_first = estimate(np.sign(samples.real) + 1j * np.sign(samples.imag))
    error_of_estimates = np.sqrt(np.mean((estimated_first - truth) ** 2))
    error_of_samples = np.sqrt(np.mean((quantized_first - truth) ** 2))

    # Root CRLB of a delay in cells, amplitude unknown; one bit costs pi / 2 in variance.
    slope = 2 * np.pi / num_subcarriers
    bound = np.sqrt(10 / (2 * slope**2 * np.sum(index**2)))
    assert error_of_estimates < 1.1 * bound
    assert error_of_samples > 1.15 * bound


def test_rows_and_picture_have_all_curves(tmp_path):
    measured = [
        [{curve.scheme: figures(1.0 + place)} for place in range(len(curve.values))]
        for curve in CURVES
    ]
    rows = rate_rows(CURVES, measured, BOUND, 33.0)
    rows += codec_rows(
        [{"scheme": f"dvqvae, codebooks of {size}", **figures(size)} for size in (4, 256)], 33.0
    )
    assert {row["curve"] for row in rows} == {
        *(curve.label for curve in CURVES),
        "dvqvae, codebooks of 4 to 256",
        CRLB,
    }
    assert rows[0]["value"] == 6 and rows[-1]["value"] == "256"

    path = tmp_path / "rate.png"
    assert draw_rates(changed_scene(SCENE, {}), rows, path) == [path]
    assert path.stat().st_size > 10_000


class StoredPoints:
    """A store in which every point is measured."""

    num_frames = 1
    seed = 1

    def __init__(self, *_):
        pass

    def num_missing(self, scene, schemes):
        return 0

    def figures(self, scene, schemes, on_frame):
        return {CRLB: BOUND, **{name: figures(1.0) for name in schemes}}


@pytest.fixture
def options(tmp_path, monkeypatch):
    """Makes options of the figure for chosen schemes, without measurements."""
    codebooks = [{"scheme": f"dvqvae, codebooks of {size}", **figures(size)} for size in (4, 256)]
    monkeypatch.setattr(command, "PointStore", StoredPoints)
    monkeypatch.setattr(fronthaul, "codebook_rows", lambda *_: codebooks)
    return lambda *schemes: command.FigureOptions(
        "compact", 1, 1, tmp_path, schemes or None, 1, 16, 1
    )


@pytest.mark.parametrize("schemes", [("dvqvae",), ("local_ml",)])
def test_any_choice_of_schemes_is_drawn_with_the_bound(tmp_path, options, schemes):
    command.make_figures(("rate",), ("rate",), options(*schemes))
    text = (tmp_path / "cf_figrate_compact.csv").read_text(encoding="utf-8")
    assert CRLB in text and all(scheme in text for scheme in schemes)
    assert (tmp_path / "cf_figrate_compact.png").is_file()


def test_schemes_without_a_curve_are_refused(options):
    with pytest.raises(ValueError, match="rates has no curve of music; its schemes are dvqvae"):
        command.make_figures(("rate",), ("rate",), options("music", "local_ml"))


def test_points_are_scenes_with_their_key():
    for curve in CURVES:
        for changes, value in zip(curve.changes(), curve.values, strict=True):
            sensing = changed_scene(SCENE, changes).sensing
            name = curve.key.rpartition(".")[2]
            assert not name or getattr(sensing, name) == value
