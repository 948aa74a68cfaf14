"""`isac train` and `isac dataset` on the command line."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from networks import NETWORK
from typer.testing import CliRunner

from cooperative_isac.cli import app
from cooperative_isac.learned.weights import load_weights
from cooperative_isac.training.app import pairs
from cooperative_isac.training.command import make_job
from cooperative_isac.training.recipes import RECIPES
from cooperative_isac.training.samples import SampleRanges

TINY = Path(__file__).resolve().parents[2] / "scenes" / "tiny.yaml"
SMALL = [
    "--scheme",
    "dvqvae_demodulated",
    "--set",
    "hidden=8",
    "--set",
    "part_dim=2",
    "--set",
    "center_channels=8",
    "--set",
    "cells=12",
    "--set",
    "codebook.size=16",
    "--set",
    "codebook.num_parts=7",
]
SMALL_MAPS = [
    "--scheme",
    "dvqvae",
    "--set",
    "cells=12",
    "--set",
    "coarse=4",
    "--set",
    "encoder_channels=8",
    "--set",
    "center_channels=8",
]
QUICK = [
    "--epochs",
    "2",
    "--batch-size",
    "4",
    "--samples",
    "8",
    "--validation-samples",
    "4",
    "--workers",
    "0",
]


def isac(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_training_writes_weights_that_load(tmp_path, tiny, monkeypatch):
    result = isac("train", TINY, "--out", tmp_path / "run", *QUICK, *SMALL)
    assert result.exit_code == 0, result.output
    weights = tmp_path / "run" / "weights.safetensors"
    assert str(weights) in result.output.replace("\n", "") and "ISAC_WEIGHTS=" in result.output
    assert load_weights(weights, tiny).config.codebook.size == 16
    again = isac("train", TINY, "--out", tmp_path / "run", *QUICK, *SMALL)
    assert again.exit_code == 0 and "continuing at epoch 3" in again.output


def test_training_begins_with_initial_weights(tmp_path, tiny):
    first, second = tmp_path / "first", tmp_path / "second"
    assert isac("train", TINY, "--out", first, *QUICK, *SMALL).exit_code == 0
    weights = first / "weights.safetensors"
    still = ["--learning-rate", "0", "--begin", weights]
    assert isac("train", TINY, "--out", second, *QUICK, *SMALL, *still).exit_code == 0
    before, after = (
        load_weights(run / "weights.safetensors", tiny).state_dict() for run in (first, second)
    )
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert {name for name in before if name.startswith(("encoders.", "center."))} <= same
    other = isac(
        "train", TINY, "--out", tmp_path / "third", *QUICK, *SMALL, "--set", "hidden=16", *still
    )
    assert other.exit_code == 1 and "it is another network" in other.output


def test_sample_ranges_are_options(tmp_path):
    vary = ["--timing-offset-s", 0, 3e-7, "--frequency-offset-hz", 0, 5e3, "--power-dbm", 20, 30]
    assert isac("train", TINY, "--out", tmp_path / "run", *QUICK, *SMALL, *vary).exit_code == 0
    ranges = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))["settings"][
        "variety"
    ]
    assert ranges["timing_offset_s"] == [0, 3e-7] and ranges["frequency_offset_hz"] == [0, 5e3]
    assert ranges["power_dbm"] == [20, 30] and "vehicles" not in ranges
    classes = ["--vehicles", 0, 0.5, "--out", tmp_path / "classes"]
    assert isac("train", TINY, *QUICK, *SMALL, *classes).exit_code == 0
    run = json.loads((tmp_path / "classes" / "run.json").read_text(encoding="utf-8"))
    assert run["settings"]["variety"]["vehicles"] == [0, 0.5]


def test_other_settings_in_the_same_folder_are_refused(tmp_path):
    isac("train", TINY, "--out", tmp_path / "run", *QUICK, *SMALL)
    result = isac(
        "train", TINY, "--out", tmp_path / "run", *QUICK, *SMALL, "--learning-rate", "0.5"
    )
    assert result.exit_code == 1 and "settings.learning_rate: 0.004 there, 0.5 now" in result.output


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--scheme", "local_ml"], "scheme 'local_ml' has nothing to train; use one of"),
        (["--set", "hidden"], "--set hidden: write NAME=VALUE"),
        (["--set", "hiden=3"], "no hyperparameter hiden"),
        (
            ["--validation-samples", "4001"],
            "4001 validation samples are requested, the split has 4000",
        ),
        (["--power-dbm", "30", "20"], "power_dbm 30.0 to 20.0: write the lower limit first"),
        (
            ["--timing-offset-s", "-1e-7", "0"],
            "timing_offset_s -1e-07 to 0.0: write the lower limit first, then the higher, none",
        ),
        (["--precision", "float8"], "precision 'float8' is not known"),
        (["--data", "/nowhere"], "/nowhere is no dataset"),
    ],
)
def test_mistakes_give_one_line(tmp_path, arguments, text):
    result = isac("train", TINY, "--out", tmp_path / "run", *arguments)
    assert result.exit_code == 1 and result.output.startswith("error: ") and text in result.output


@pytest.mark.parametrize(
    "command",
    [
        ("train", "--scheme", "dvqvae"),
        ("train", "--scheme", "cnn"),
        ("dataset",),
    ],
)
def test_scenes_beyond_learned_schemes_are_refused(tmp_path, command):
    path = tmp_path / "network.yaml"
    path.write_text(NETWORK)
    name, *options = command
    result = isac(name, str(path), "--out", tmp_path / "run", *options)
    assert result.exit_code == 1
    assert result.output.startswith("error: learned schemes work on one band")
    assert "scene 'network' has the bands high, low" in result.output
    assert not (tmp_path / "run").exists()


def test_a_dataset_is_written_and_described(tmp_path):
    result = isac(
        "dataset", TINY, "--out", tmp_path / "data", "--samples", "5", "--targets", "0", "2"
    )
    assert result.exit_code == 0, result.output
    assert "echo-rx1.npy" in result.output and "5 x 8 x 32 x 32 x 2" in result.output
    refused = isac("dataset", TINY, "--out", tmp_path / "data", "--samples", "5")
    assert refused.exit_code == 1 and "exists; name a folder that does not" in refused.output


def test_options_set_nested_hyperparameters():
    assert pairs(["hidden=8", "codebook.size=4", "input=raw", "codebook.decay=0.5"]) == {
        "hidden": 8,
        "codebook": {"size": 4, "decay": 0.5},
        "input": "raw",
    }
    assert pairs(["codebook=null"]) == {"codebook": None}


def test_a_job_is_the_recipe_with_the_choices(tiny, tmp_path):
    chosen, changes = {"batch_size": 3, "precision": "bfloat16"}, {"codebook": {"decay": 0.5}}
    job = make_job(tiny, "dvae", tmp_path, chosen, SampleRanges(targets=(0, 4)), changes, None)
    recipe = RECIPES["dvae"]
    assert job.recipe.network == {**recipe.network, "num_targets": 4, "codebook": {"decay": 0.5}}
    assert job.settings.batch_size == 3 and job.settings.optimization.precision == "bfloat16"
    assert job.settings.learning_rate == recipe.settings["learning_rate"]


@pytest.mark.parametrize("scheme", list(RECIPES))
def test_every_recipe_makes_a_job(tiny, tmp_path, scheme):
    most = (RECIPES[scheme].ranges.targets or (0, 1))[1]
    assert (
        make_job(tiny, scheme, tmp_path, {}, SampleRanges(), {}, None).recipe.network["num_targets"]
        == most
    )


@pytest.mark.parametrize("device", ["tpu", "meta", "cuda:99", ""])
def test_an_unavailable_device_is_named(tmp_path, device):
    refused = isac("train", TINY, "--out", tmp_path / "run", *SMALL, "--device", device)
    assert refused.exit_code == 1
    assert f"error: --device is {device}; torch has no such device here" in refused.output


def test_divergence_in_the_first_epoch_is_reported(tmp_path):
    refused = isac(
        "train",
        TINY,
        "--out",
        tmp_path / "run",
        *SMALL_MAPS,
        "--epochs",
        "1",
        "--batch-size",
        "4",
        "--samples",
        "4",
        "--validation-samples",
        "4",
        "--workers",
        "0",
        "--learning-rate",
        "1e30",
    )
    assert refused.exit_code == 1
    assert "error: the validation loss is nan" in refused.output


def test_the_maps_network_learns(tmp_path):
    result = isac(
        "train",
        TINY,
        "--out",
        tmp_path / "run",
        *SMALL_MAPS,
        "--epochs",
        "8",
        "--batch-size",
        "4",
        "--samples",
        "32",
        "--validation-samples",
        "8",
        "--workers",
        "0",
        "--learning-rate",
        "0.01",
    )
    assert result.exit_code == 0, result.output
    with (tmp_path / "run" / "curves.csv").open(encoding="utf-8") as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    assert losses[-1] < 0.8 * losses[0]


def test_classical_schemes_do_not_import_torch():
    text = (
        "import sys; from cooperative_isac import cli, pipeline; "
        "from cooperative_isac.scene.file.config import load_scene; "
        f"next(pipeline.run(load_scene({str(TINY)!r}), 1, 'local_ml')); sys.exit('torch' in "
        "sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", text], check=False).returncode == 0


@pytest.mark.parametrize("network", [SMALL, SMALL_MAPS], ids=["dvqvae_demodulated", "dvqvae"])
def test_separate_processes_train_to_the_same_parameters(tmp_path, tiny, network):
    command = [
        "train",
        str(TINY),
        "--epochs",
        "1",
        "--batch-size",
        "4",
        "--samples",
        "4",
        "--validation-samples",
        "4",
        "--workers",
        "0",
        "--device",
        "cpu",
        *network,
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(
        [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--standalone",
            "--nproc-per-node",
            "3",
            "-m",
            "cooperative_isac.cli",
            *command,
            "--out",
            str(tmp_path / "apart"),
        ],
        check=True,
        env=environment,
        timeout=110,
    )
    subprocess.run(
        [
            sys.executable,
            "-m",
            "cooperative_isac.cli",
            *command,
            "--out",
            str(tmp_path / "together"),
        ],
        check=True,
        env=environment,
        timeout=60,
    )
    apart, together = (
        load_weights(tmp_path / name / "weights.safetensors", tiny).state_dict()
        for name in ("apart", "together")
    )
    for name, tensor in together.items():
        assert torch.allclose(apart[name], tensor, atol=1e-6, rtol=0), name
    rows = [
        list(csv.DictReader((tmp_path / name / "curves.csv").open()))
        for name in ("apart", "together")
    ]
    assert float(rows[0][0]["loss"]) == pytest.approx(float(rows[1][0]["loss"]), abs=1e-6)
