"""Figures of the cell-free paper: swept quantities, stored points, tables and pictures."""

import csv
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.image import imread
from typer.testing import CliRunner

from cooperative_isac.cli import app
from cooperative_isac.evaluation.cell_free import command, results
from cooperative_isac.evaluation.cell_free.fronthaul import draw_fronthaul, refitted
from cooperative_isac.evaluation.cell_free.plots import draw_sweep, rows_of
from cooperative_isac.evaluation.cell_free.results import PointStore
from cooperative_isac.evaluation.cell_free.scenes import changed_scene
from cooperative_isac.evaluation.cell_free.styles import (
    MAX_CURVES,
    PAPER,
    SCHEME_GROUPS,
    STYLES,
    pictures,
    scheme_style,
)
from cooperative_isac.evaluation.cell_free.sweeps import SCALES, SWEEPS, Point, Sweep, sweep
from cooperative_isac.evaluation.cell_free.tables import setting_rows, size_rows
from cooperative_isac.evaluation.cell_free.trained import has_weights
from cooperative_isac.evaluation.figures_app import FIGURES
from cooperative_isac.learned.construction import make_network
from cooperative_isac.learned.quantizer import Codebook, CodebookConfig
from cooperative_isac.learned.weights import save_weights
from cooperative_isac.scene.file.errors import SceneError
from cooperative_isac.schemes.catalog import BUILT_IN

# Color vision without and with protanopia, deuteranopia and tritanopia, as matrices of linear RGB
# (Machado, Oliveira and Fernandes 2009, Table I, severity 1).
COLOR_VISIONS = {
    "normal": np.eye(3),
    "protanopia": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "tritanopia": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
}
# Least distance of two colors of a picture in CIELAB. Just noticeable are 2.3.
LEAST_COLOR_DISTANCE = 15.0

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


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("number", [7, 8, 9])
def test_the_learned_codec_has_weights_for_every_target_number_and_shape(number, scale):
    points = sweep(number, scale).points
    scenes = [changed_scene(SCALES[scale], point.changes) for point in points]
    assert all(has_weights(scene, "dvqvae") for scene in scenes)


def test_changes_reach_every_entry_of_a_list():
    scene = changed_scene(
        TINY,
        {
            "receivers.*.array.num_elements": 4,
            "propagation.clutter": {"num_scatterers": 2},
            "propagation.timing_offset_std_s": 1e-8,
        },
    )
    assert [site.num_ant for site in scene.receivers] == [4, 4]
    assert scene.transmitters[0].num_ant == 8
    assert scene.propagation.clutter.num_scatterers == 2
    assert scene.propagation.timing_offset_std_s == 1e-8


def test_a_wrong_change_is_refused_as_in_a_file():
    with pytest.raises(SceneError, match=r"waveform\.num_symbols"):
        changed_scene(TINY, {"waveform.num_symbols": -3})


def test_points_are_measured_once(tiny, tmp_path, monkeypatch):
    frames = []
    first = PointStore(tmp_path, 2, 1, 1).figures(tiny, ["local_ml"], lambda: frames.append(1))
    assert len(frames) == 2
    assert first["local_ml"]["detection_rate"] > 0
    assert first["crlb"]["root_mean_location_m"] > 0
    assert all(isinstance(value, float) for value in first["local_ml"].values())

    # From the file.
    monkeypatch.setattr(results, "measure_frames", None)
    store = PointStore(tmp_path, 2, 1, 1)
    assert store.num_missing(tiny, ["local_ml"]) == 0
    assert store.num_missing(tiny, ["local_ml", "music"]) == 2
    assert store.figures(tiny, ["local_ml"], lambda: None) == first
    assert PointStore(tmp_path, 2, 9, 1).num_missing(tiny, ["local_ml"]) == 2


def test_rows_hold_the_bound_as_a_scheme():
    figure = Sweep(6, "", "P", (Point(30.0, {}), Point(40.0, {})))
    results = {"crlb": {"root_mean_location_m": 0.1}, "music": {"rmse_location_m": 1.0}}
    rows = rows_of(figure, [results, results])
    assert [(row["x"], row["scheme"], row["rmse_location_m"]) for row in rows] == [
        (30.0, "music", 1.0),
        (30.0, "crlb", 0.1),
        (40.0, "music", 1.0),
        (40.0, "crlb", 0.1),
    ]


def test_every_built_in_scheme_has_a_style_of_its_own():
    assert STYLES.keys() == BUILT_IN.keys()
    assert len(set(STYLES.values())) == len(STYLES)
    # Schemes of installed packages have one, too, which does not depend on other schemes.
    assert scheme_style("of_a_package") == scheme_style("of_a_package")


def cielab(color, vision):
    """CIELAB coordinates of a color of sRGB (IEC 61966-2-1, CIE 15, white point D65)."""
    encoded = np.array(to_rgb(color))
    linear = np.where(encoded > 0.04045, ((encoded + 0.055) / 1.055) ** 2.4, encoded / 12.92)
    seen = np.clip(np.array(vision) @ linear, 0, 1)
    xyz_of_rgb = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    share_of_white = xyz_of_rgb @ seen / xyz_of_rgb.sum(axis=1)
    x, y, z = np.where(
        share_of_white > 0.008856, np.cbrt(share_of_white), 7.787 * share_of_white + 16 / 116
    )
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_a_conversion_of_colors_has_the_values_of_tables():
    assert cielab("white", np.eye(3)) == pytest.approx([100, 0, 0], abs=0.01)
    assert cielab("red", np.eye(3)) == pytest.approx([53.24, 80.09, 67.20], abs=0.1)


@pytest.mark.parametrize("vision", COLOR_VISIONS)
@pytest.mark.parametrize("group", SCHEME_GROUPS, ids=["paper", "classical", "learned"])
def test_colors_of_a_picture_can_be_distinguished(group, vision):
    # The curve of dvqvae is in every picture of Fig. 12.
    colors = [STYLES[name].color for name in {"dvqvae", *group}]
    points = [cielab(color, COLOR_VISIONS[vision]) for color in colors]
    distances = [np.linalg.norm(first - second) for first, second in combinations(points, 2)]
    assert min(distances) > LEAST_COLOR_DISTANCE


@pytest.mark.parametrize("curves_per_scheme", [1, 3])
def test_schemes_are_distributed_over_pictures_of_six_curves(curves_per_scheme):
    schemes = [*BUILT_IN, *(f"of_a_package_{index}" for index in range(8))]
    groups = pictures(schemes, curves_per_scheme)
    assert sorted(name for group in groups for name in group) == sorted(schemes)
    assert max(map(len, groups)) * curves_per_scheme <= MAX_CURVES
    if curves_per_scheme == 1:
        assert set(groups[0]) == set(PAPER)
    assert pictures(["dvqvae", "local_ml"], curves_per_scheme) == [["dvqvae", "local_ml"]]


def test_pictures_show_schemes_in_their_styles_beside_the_bound(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: drawn.append(figure))
    figure = Sweep(6, "", "P", (Point(30.0, {}), Point(40.0, {})))
    measured = {"rmse_location_m": 1.0, "rmse_velocity_mps": 2.0, "detection_rate": 0.9}
    results = dict.fromkeys(BUILT_IN, measured)
    results["crlb"] = {"root_mean_location_m": 0.1, "root_mean_velocity_mps": 0.2}
    paths = draw_sweep(figure, rows_of(figure, [results] * 2), "", tmp_path / "fig.png")
    assert [path.name for path in paths] == ["fig.png", "fig_2.png", "fig_3.png"]
    for picture in drawn:
        location, velocity, found = picture.axes
        schemes = [line.get_label() for line in location.lines]
        assert 0 < len(schemes) <= MAX_CURVES
        for line in (*location.lines, *velocity.lines, *found.lines):
            style = STYLES[line.get_label()]
            assert (line.get_color(), line.get_marker()) == (style.color, style.marker)
        assert "monostatic" not in {line.get_label() for line in velocity.lines}
        # The bound, and the schemes at the lower edge of the axis above it.
        assert location.collections[0].get_datalim(location.transData).y1 == pytest.approx(0.1)
        assert location.get_ylim()[0] < 0.1 and not found.collections


def test_fronthaul_pictures_show_each_scheme_where_it_was_measured(tiny, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: drawn.append(figure))
    measured = {"fronthaul_bits": 300.0, "rmse_location_m": 0.4, "rmse_velocity_mps": 2.0}
    points = [{"scheme": name, **measured} for name in BUILT_IN]
    curve = [measured, measured | {"fronthaul_bits": 3e4, "rmse_location_m": 0.1}]
    paths = draw_fronthaul(tiny, "dvqvae", curve, points, tmp_path / "fig.png")
    assert [path.name for path in paths] == ["fig.png", "fig_2.png", "fig_3.png"]
    for picture, group in zip(drawn, SCHEME_GROUPS, strict=True):
        location, velocity = picture.axes
        assert [line.get_label() for line in location.lines[1:]] == list(group)
        with_velocity = [name for name in group if not name.startswith("monostatic")]
        assert [line.get_label() for line in velocity.lines[1:]] == with_velocity
        # Errors are labeled with plain numbers.
        picture.draw_without_rendering()
        labels = [label.get_text() for label in location.yaxis.get_majorticklabels()]
        assert {"0.1", "0.2"} <= set(labels)


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
    result = isac("figures", "cf", "--fig", "10", "--schemes", "local_ml", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert imread(tmp_path / "cf_fig10_compact.png").std() > 0.05


def test_a_learned_scheme_has_the_points_that_its_weights_fit(tiny, tmp_path, monkeypatch):
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
    assert nothing.exit_code == 1
    assert "no weights of dvqvae fit any point of Fig. 8" in nothing.output
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


@pytest.mark.parametrize(
    ("scale", "names"),
    [("compact", FIGURES), ("table1", ("6", "7", "8", "9", "10", "12", "13", "14"))],
)
def test_all_makes_every_figure_of_a_scale(scale, names, tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(command, "_make", lambda name, *_: made.append(name))
    result = isac("figures", "cf", "--fig", "all", "--scale", scale, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert tuple(made) == names


@pytest.mark.parametrize("arguments", [["--fig", "5"], ["--fig", "6", "--scale", "huge"]])
def test_an_unknown_figure_or_scale_is_an_error(arguments):
    result = isac("figures", "cf", *arguments)
    assert result.exit_code == 1 and "figures are 6, 7," in result.output


def test_a_figure_without_weights_names_the_training_command(tmp_path, monkeypatch):
    monkeypatch.setitem(SCALES, "compact", str(TINY))
    result = isac("figures", "cf", "--fig", "12", "--frames", "1", "--out", tmp_path)
    assert result.exit_code == 1 and "isac train tiny --scheme dvqvae" in result.output


def test_more_codewords_quantize_more_finely():
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
    assert compact["decoder_parameters"] < 0.1 * paper["decoder_parameters"]
    assert compact["bits"] == 16_384
    assert demodulated["decoder_parameters"] < compact["decoder_parameters"]
    assert demodulated["bits"] == 13_824
    assert np.all([row["cell_free_table1"] for row in setting_rows()])
