"""The figures of the cell-free paper: what varies, what is kept on disk, what is drawn."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from typer.testing import CliRunner

from cooperative_isac.cli import app
from cooperative_isac.evaluation.paper import results
from cooperative_isac.evaluation.paper.app import FIGURES
from cooperative_isac.evaluation.paper.fronthaul import refitted
from cooperative_isac.evaluation.paper.plots import rows_of
from cooperative_isac.evaluation.paper.results import PointStore
from cooperative_isac.evaluation.paper.scenes import changed_scene
from cooperative_isac.evaluation.paper.sweeps import SCALES, SWEEPS, Point, Sweep, sweep
from cooperative_isac.evaluation.paper.tables import setting_rows, size_rows
from cooperative_isac.learned.quantizer import Codebook, CodebookConfig
from cooperative_isac.learned.weights import make_network, save_weights
from cooperative_isac.scene.file.errors import SceneError

TINY = Path(__file__).resolve().parents[3] / "scenes" / "tiny.yaml"


def isac(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("number", SWEEPS)
def test_every_point_of_every_figure_is_a_scene(number, scale):
    figure = sweep(number, scale)
    scenes = [changed_scene(SCALES[scale], point.changes) for point in figure.points]
    assert len({scene.fingerprint for scene in scenes}) == len(scenes) >= 3
    assert f"{number}" in FIGURES


def test_changes_reach_every_entry_of_a_list():
    scene = changed_scene(
        TINY,
        {
            "receivers.*.array.num_elements": 4,
            "propagation.clutter": {"num_scatterers": 2},
            "propagation.timing_offset_std_s": 1e-8,
        },
    )
    assert [site.num_ant for site in scene.receivers] == [4, 4] and scene.transmitters[
        0
    ].num_ant == 8
    assert (
        scene.propagation.clutter.num_scatterers == 2
        and scene.propagation.timing_offset_std_s == 1e-8
    )


def test_a_wrong_change_is_refused_as_in_a_file():
    with pytest.raises(SceneError, match=r"waveform\.num_symbols"):
        changed_scene(TINY, {"waveform.num_symbols": -3})


def test_points_are_measured_once(tiny, tmp_path, monkeypatch):
    seen = []
    first = PointStore(tmp_path, 2, 1, 1).figures(tiny, ["local_ml"], lambda: seen.append(1))
    assert (
        len(seen) == 2
        and first["local_ml"]["detection_rate"] > 0
        and first["crlb"]["root_mean_location_m"] > 0
    )
    monkeypatch.setattr(results, "measure_frames", None)
    store = PointStore(tmp_path, 2, 1, 1)
    assert (
        store.num_missing(tiny, ["local_ml"]) == 0
        and store.num_missing(tiny, ["local_ml", "music"]) == 2
    )
    assert store.figures(tiny, ["local_ml"], lambda: None) == first
    assert PointStore(tmp_path, 2, 9, 1).num_missing(tiny, ["local_ml"]) == 2


def test_rows_hold_the_bound_as_a_scheme():
    figure = Sweep(6, "", "P", (Point(30.0, {}), Point(40.0, {})))
    known = {"crlb": {"root_mean_location_m": 0.1}, "music": {"rmse_location_m": 1.0}}
    rows = rows_of(figure, [known, known])
    assert [(row["x"], row["scheme"], row["rmse_location_m"]) for row in rows] == [
        (30.0, "music", 1.0),
        (30.0, "crlb", 0.1),
        (40.0, "music", 1.0),
        (40.0, "crlb", 0.1),
    ]


def test_a_figure_is_a_picture_and_a_table(tmp_path, monkeypatch):
    monkeypatch.setitem(SCALES, "compact", str(TINY))
    result = isac(
        "figures", "cf", "--fig", "7", "--frames", "1", "--schemes", "local_ml", "--out", tmp_path
    )
    assert result.exit_code == 0, result.output
    with (tmp_path / "cf_fig7_compact.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["x"], row["scheme"]) for row in rows][:3] == [
        ("1", "local_ml"),
        ("1", "crlb"),
        ("2", "local_ml"),
    ]
    assert imread(tmp_path / "cf_fig7_compact.png").std() > 0.05
    assert (
        isac("figures", "cf", "--fig", "10", "--schemes", "local_ml", "--out", tmp_path).exit_code
        == 0
    )
    assert imread(tmp_path / "cf_fig10_compact.png").std() > 0.05


def test_a_scheme_is_in_those_points_that_its_weights_fit(tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(SCALES, "compact", str(TINY))
    monkeypatch.setenv("ISAC_WEIGHTS", str(tmp_path))
    arguments = (
        "figures",
        "cf",
        "--fig",
        "8",
        "--frames",
        "1",
        "--schemes",
        "dvqvae",
        "--out",
        tmp_path / "out",
    )
    nothing = isac(*arguments)
    assert (
        nothing.exit_code == 1 and "no weights of dvqvae fit any point of Fig. 8" in nothing.output
    )
    middle = changed_scene(str(TINY), sweep(8, "compact").points[1].changes)
    save_weights(
        tmp_path / "tiny-dvqvae.safetensors",
        make_network(middle, "maps", {"cells": 8, "coarse": 4}),
        {},
    )
    assert isac(*arguments).exit_code == 0
    with (tmp_path / "out" / "cf_fig8_compact.csv").open(encoding="utf-8") as file:
        rows = [(row["x"], row["scheme"]) for row in csv.DictReader(file)]
    assert rows == [("16", "crlb"), ("32", "dvqvae"), ("32", "crlb"), ("64", "crlb")]


@pytest.mark.parametrize("arguments", [["--fig", "5"], ["--fig", "6", "--scale", "huge"]])
def test_what_is_not_there_is_named(arguments):
    result = isac("figures", "cf", *arguments)
    assert result.exit_code == 1 and "figures are 6, 7," in result.output


def test_figures_that_need_weights_say_so(tmp_path, monkeypatch):
    monkeypatch.setitem(SCALES, "compact", str(TINY))
    result = isac("figures", "cf", "--fig", "12", "--frames", "1", "--out", tmp_path)
    assert result.exit_code == 1 and "isac train tiny --scheme dvqvae" in result.output


def test_more_codewords_tell_more():
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(4000, 6, generator=generator)
    book = Codebook(6, CodebookConfig(16, num_parts=2))
    errors = []
    for size in (4, 32):
        made = refitted(book, size, latents)
        errors.append(float((made.lookup(made.nearest(latents)) - latents).square().mean()))
    assert errors[1] < 0.5 * errors[0]


def test_sizes_are_those_of_the_paper():
    paper, demodulated, compact = size_rows()
    assert paper["encoder_parameters"] == pytest.approx(1.2e6, rel=0.05)
    assert paper["decoder_parameters"] == pytest.approx(206e6, rel=0.05)
    assert (paper["latents"], paper["bits"]) == (16_384, 81_920)
    assert (
        compact["decoder_parameters"] < 0.1 * paper["decoder_parameters"]
        and compact["bits"] == 16_384
    )
    assert (
        demodulated["decoder_parameters"] < compact["decoder_parameters"]
        and demodulated["bits"] == 13_824
    )
    assert np.all([row["cell_free_table1"] for row in setting_rows()])
