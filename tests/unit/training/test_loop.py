"""Training runs: their files, early stop, and resumption after a kill."""

import csv
import io
import pickle
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from cooperative_isac.learned.construction import WeightsError, make_network
from cooperative_isac.learned.index_coder import TABLE_TOTAL, frequency_tables
from cooperative_isac.learned.quantizer import BEGIN_COUNT
from cooperative_isac.learned.weights import (
    initialize_from,
    load_weights,
    save_weights,
    weights_description,
)
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.training.batches import EncodedExamples
from cooperative_isac.training.loop import Callback, draw_receiver_mask
from cooperative_isac.training.recipes import Recipe
from cooperative_isac.training.run import initial_network, train_distributed, train_locally
from cooperative_isac.training.settings import Settings


@pytest.fixture(scope="module")
def compact():
    return load_scene("cell_free_compact")


class Killed(Exception):
    """Replacement of a signal that ends the process."""


class KillingCallback(Callback):
    """Ends a run after a number of steps."""

    def __init__(self, steps):
        self.left = steps

    def step(self, loss):
        self.left -= 1
        if self.left < 0:
            raise Killed


def curves(folder):
    with (folder / "curves.csv").open() as file:
        return [
            {name: float(value) for name, value in row.items() if name != "seconds"}
            for row in csv.DictReader(file)
        ]


def test_held_encoders_keep_their_weights(job, tmp_path):
    network = {**job.recipe.network, "input": "raw"}
    held = replace(
        job,
        recipe=Recipe("paper_dvqvae", network),
        cache=tmp_path / "cache",
        settings=replace(job.settings, hold_encoders=True),
    )
    torch.manual_seed(job.settings.seed)
    before = initial_network(held)
    after = load_weights(train_locally(held, Callback()).folder.weights, job.scene)
    for name, tensor in before.encoders.state_dict().items():
        assert torch.equal(after.encoders.state_dict()[name], tensor)
    assert not torch.equal(after.codebooks["rx1"].codewords, before.codebooks["rx1"].codewords)
    assert not torch.equal(after.center.head.out.weight, before.center.head.out.weight)
    others = replace(held, folder=tmp_path / "other", settings=replace(held.settings, seed=9))
    with pytest.raises(ValueError, match="holds samples of another scene, network input"):
        train_locally(others, Callback())  # other encoders, other latents


def test_training_begins_with_beams_or_initial_weights(job, compact):
    beams = {
        "beams": 2,
        "hidden": 8,
        "encoder_layers": 3,
        "encoder_residuals": 0,
        "latent_dim": 8,
        "transmit_layers": 0,
    }
    begun = initial_network(replace(job, scene=compact, recipe=Recipe("paper_dvqvae", beams)))
    assert (
        torch.count_nonzero(begun.encoders["rx1"].halving[0][0].weight[0]) == 8
    )  # antennas, real and imaginary
    with torch.no_grad():
        begun.encoders["rx1"].halving[0][0].weight.fill_(0.25)
    job.folder.mkdir()
    save_weights(job.folder / "given.safetensors", begun, {}, False)
    again = initial_network(
        replace(
            job,
            scene=compact,
            recipe=Recipe("paper_dvqvae", beams),
            initial_weights=job.folder / "given.safetensors",
        )
    )
    assert (again.encoders["rx1"].halving[0][0].weight == 0.25).all()


def test_initial_weights_may_be_of_another_scene(job):
    maps = replace(job, recipe=Recipe("maps", {"cells": 8, "coarse": 4}))
    given = initial_network(maps)
    maps.folder.mkdir()
    save_weights(maps.folder / "given.safetensors", given, {}, False)
    moved = tuple(replace(site, position_m=site.position_m + 3.0) for site in job.scene.receivers)
    torch.manual_seed(5)
    begun = initial_network(
        replace(
            maps,
            scene=replace(job.scene, receivers=moved),
            initial_weights=maps.folder / "given.safetensors",
        )
    )
    for name, parameter in begun.named_parameters():
        assert torch.equal(parameter, given.get_parameter(name))
    assert not torch.equal(begun.center.paths.receivers, given.center.paths.receivers)
    begun_with, codewords = begun.codebooks["rx1"], given.codebooks["rx1"].codewords
    assert torch.equal(begun_with.codewords, codewords)

    # A step whose latents are codewords leaves them where they are.
    latents = begun_with.lookup(torch.arange(256)[:, None].repeat(1, 8))
    begun_with.update(latents, begun_with.nearest(latents), torch.Generator())
    assert torch.allclose(begun_with.codewords, codewords, rtol=1e-5, atol=1e-6)


def test_initial_weights_of_another_dimension_are_refused_with_both(job, tilted):
    given = initial_network(replace(job, recipe=Recipe("maps", {"cells": 8, "coarse": 4})))
    job.folder.mkdir()
    save_weights(job.folder / "given.safetensors", given, {}, False)
    in_space = make_network(tilted, "maps", {"cells": 8, "coarse": 4, "heights": 2})
    with pytest.raises(WeightsError, match=r"network \(dimension 2 there, 3 here; \d+ of \d+ par"):
        initialize_from(in_space, job.folder / "given.safetensors")


def test_given_codewords_begin_with_their_uses(job):
    maps = replace(job, recipe=Recipe("maps", {"cells": 8, "coarse": 4}))
    given = initial_network(maps)
    tables = frequency_tables(1 + torch.arange(2048).reshape(8, 256))
    given.codebooks["rx1"].tables = tables
    maps.folder.mkdir()
    save_weights(maps.folder / "given.safetensors", given, {}, False)
    begun = initial_network(replace(maps, initial_weights=maps.folder / "given.safetensors"))
    first, second = (begun.codebooks[name].counts for name in ("rx1", "rx2"))
    assert torch.allclose(first / first.sum(1, keepdim=True), tables / TABLE_TOTAL)
    assert torch.equal(second, torch.full_like(second, BEGIN_COUNT))
    assert first.mean(1) == pytest.approx(BEGIN_COUNT)
    assert (frequency_tables(first) - tables).abs().max() <= 256


def test_codebooks_of_other_sizes_are_made_anew(job):
    given = initial_network(replace(job, recipe=Recipe("maps", {"cells": 8, "coarse": 4})))
    job.folder.mkdir()
    save_weights(job.folder / "given.safetensors", given, {}, False)
    other = {"cells": 8, "coarse": 4, "codebook": {"size": 8, "num_parts": 8, "restart_after": 9}}
    begun = initial_network(
        replace(
            job,
            recipe=Recipe("maps", other),
            initial_weights=job.folder / "given.safetensors",
        )
    )
    assert torch.equal(begun.center.place, given.center.place)
    assert begun.codebooks["rx1"].counts.count_nonzero() == 0


def test_latents_of_held_encoders_are_those_of_the_network(job):
    network = initial_network(
        replace(job, recipe=Recipe("paper_dvqvae", {**job.recipe.network, "input": "raw"}))
    )
    sample = job.samples.sample(4)
    example = EncodedExamples(network, job.samples, network.receivers)[4]
    for name in network.receivers:
        expected = network.encode(job.samples.echo(sample, name), sample.frame, name)
        assert np.array_equal(example[f"observation/{name}"], expected.detach().numpy())


def test_encoders_are_held_in_one_process_on_the_cpu(job):
    held = replace(job, settings=replace(job.settings, hold_encoders=True))
    with pytest.raises(
        ValueError, match="encoders are held in one process; train without torchrun"
    ):
        train_distributed(held, Callback())
    with pytest.raises(ValueError, match="encoders are held on the CPU only; add --device cpu"):
        train_locally(replace(held, device="meta"), Callback())


@pytest.mark.parametrize("steps", [0, 3, 5, 12])
def test_a_killed_run_resumes_to_the_same_result(job, steps):
    train_locally(job, Callback())
    other = replace(job, folder=job.folder.with_name("killed"))
    with pytest.raises(Killed):
        train_locally(other, KillingCallback(steps))
    train_locally(other, Callback())
    assert curves(other.folder) == curves(job.folder) and len(curves(job.folder)) == 3
    assert (
        other.folder.joinpath("weights.safetensors").read_bytes()
        == job.folder.joinpath("weights.safetensors").read_bytes()
    )


def test_a_finished_run_does_nothing_more(job):
    train_locally(job, Callback())
    before = (job.folder / "checkpoint.pt").stat().st_mtime_ns
    training = train_locally(job, KillingCallback(0))
    assert training.epoch == 3 and (job.folder / "checkpoint.pt").stat().st_mtime_ns == before


def test_a_folder_of_another_run_is_refused(job):
    train_locally(job, Callback())
    faster = replace(job, settings=replace(job.settings, learning_rate=0.01))
    with pytest.raises(
        ValueError, match=r"settings\.learning_rate: 0\.001 there, 0\.01 now.*name another folder"
    ):
        train_locally(faster, Callback())


def test_the_best_weights_are_kept_with_their_history(job):
    training = train_locally(job, Callback())
    rows = curves(job.folder)
    best = min(rows, key=lambda row: row["validation_loss"])
    assert training.best_epoch == best["epoch"]
    story = weights_description(job.folder / "weights.safetensors")["training"]
    assert story["validation"]["validation_loss"] == best["validation_loss"]
    assert story["run"]["settings"]["batch_size"] == 4
    deviation = load_weights(job.folder / "weights.safetensors", job.scene).deviation
    assert (deviation > 0).all() and not torch.equal(deviation, torch.ones(4))


def test_curves_have_loss_accuracy_and_codebooks(job):
    train_locally(job, Callback())
    rows = curves(job.folder)
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert {
        "validation_loss",
        "rmse_location_m",
        "detection_rate",
        "perplexity_rx1",
        "commitment_rx2",
    } <= rows[0].keys()


def test_training_stops_when_validation_does_not_improve(job):
    still = replace(job, settings=replace(job.settings, learning_rate=0.0, epochs=50, patience=2))
    still.recipe.network["codebook"]["restart_after"] = 0
    training = train_locally(still, Callback())
    assert training.stopped_early and training.epoch < 50


def test_receiver_dropout_leaves_a_receiver_in_every_sample():
    settings = Settings(receiver_dropout=0.6, seed=1)
    mask = draw_receiver_mask(4000, 3, settings, 8).numpy()
    assert (mask.sum(axis=1) >= 1).all() and set(np.unique(mask)) == {0.0, 1.0}
    assert mask.mean() == pytest.approx(0.4 + 0.6**3 / 3, abs=0.03)
    assert np.array_equal(mask, draw_receiver_mask(4000, 3, settings, 8).numpy())
    assert not np.array_equal(mask, draw_receiver_mask(4000, 3, settings, 9).numpy())
    assert draw_receiver_mask(50, 2, Settings(), 0).all()


def test_the_learning_rate_follows_its_schedule():
    cosine = Settings(epochs=10, learning_rate=0.2, schedule="cosine", warmup_steps=4)
    rates = [cosine.learning_rate_at(step, 10) for step in range(100)]
    assert rates[0] == pytest.approx(0.04) and max(rates) == pytest.approx(0.2, rel=0.02)
    assert rates[50] == pytest.approx(0.1) and 0 < rates[99] < 1e-3
    assert {Settings().learning_rate_at(step, 10) for step in range(100)} == {1e-4}


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"schedule": "wild"}, "schedule 'wild' is not known; use one of constant, cosine"),
        ({"batch_size": 0}, "batch_size is 0; it must be 1 or more"),
    ],
)
def test_impossible_settings_are_refused(change, text):
    with pytest.raises(ValueError, match=text):
        Settings(**change)


@pytest.mark.parametrize(
    ("broken_step", "kept"), [(2, "there are no weights"), (6, "the weights of epoch 1 stay")]
)
def test_a_loss_that_is_not_finite_ends_the_training(job, monkeypatch, broken_step, kept):
    steps = iter(range(1, 99))
    monkeypatch.setattr(
        "cooperative_isac.training.loop.train_step",
        lambda *_: float("nan") if next(steps) == broken_step else 1.0,
    )
    with pytest.raises(
        ValueError, match=f"the loss is nan in step . of epoch .; {kept}.* lower --learning-rate"
    ):
        train_locally(job, Callback())
    assert (job.folder / "weights.safetensors").exists() == (kept != "there are no weights")


@pytest.mark.parametrize(
    "change",
    [
        lambda content, state: content[: len(content) // 2],
        lambda content, state: b"",
        lambda content, state: b"text",
        lambda content, state: pickle.dumps(state["rows"], protocol=2),
        lambda content, state: saved([1, 2]),
        lambda content, state: saved({}),
        lambda content, state: saved({**state, "epoch": "three"}),
        lambda content, state: saved({**state, "rows": []}),
        lambda content, state: saved({**state, "center": {"center": {}, "optimizer": {}}}),
        lambda content, state: saved({**state, "access_points": []}),
    ],
)
def test_a_foreign_checkpoint_is_named(job, trained_folder, change):
    shutil.copytree(trained_folder, job.folder)
    path = job.folder / "checkpoint.pt"
    content, state = path.read_bytes(), torch.load(path, weights_only=True)
    path.write_bytes(change(content, state))
    with pytest.raises(
        ValueError, match=r"checkpoint\.pt: is no checkpoint of this run.*--out"
    ) as caught:
        train_locally(job, Callback())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe", b"[" * 10**5])
def test_a_foreign_description_of_a_run_is_refused(job, trained_folder, content):
    shutil.copytree(trained_folder, job.folder)
    (job.folder / "run.json").write_bytes(content)
    with pytest.raises(ValueError, match="holds a run with other settings") as caught:
        train_locally(job, Callback())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["cache.json", "present.npy"])
def test_a_damaged_cache_is_named(job, tmp_path, name):
    cached = replace(
        job, cache=tmp_path / "cache", settings=replace(job.settings, epochs=1, train_samples=4)
    )
    train_locally(cached, Callback())
    path = tmp_path / "cache" / name
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(
        ValueError, match=f"{name}: is no .*; remove the cache or name another folder"
    ):
        train_locally(replace(cached, folder=tmp_path / "other"), Callback())


def test_a_full_disk_gives_one_line(job, monkeypatch):
    def fill_up(*_):
        raise RuntimeError("[enforce fail at inline_container.cc:603] . unexpected pos 64 vs 0")

    monkeypatch.setattr("torch.save", fill_up)
    with pytest.raises(
        ValueError, match=r"cannot write .*checkpoint\.pt: is the disk full\?; make room"
    ):
        train_locally(job, Callback())


def saved(state):
    """The bytes of a checkpoint."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()
