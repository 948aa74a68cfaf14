"""Datasets on disk: what was drawn, within half precision, and nothing of another scene."""

import json
from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.training.loop import Watcher
from cooperative_isac.training.recordings import RecordedSamples, write_samples
from cooperative_isac.training.run import train_here
from cooperative_isac.training.samples import DrawnSamples, Variety


@pytest.fixture
def drawn(tiny):
    return DrawnSamples(tiny, Variety(targets=(0, 2)))


@pytest.fixture
def folder(drawn, tmp_path):
    assert list(write_samples(drawn, tmp_path / "data", 10)) == list(range(1, 11))
    return tmp_path / "data"


def test_samples_come_back(drawn, folder, tiny):
    recorded = RecordedSamples(tiny, folder)
    for number in range(10):
        before, now = drawn.situation(number), recorded.situation(number)
        assert np.array_equal(now.frame.indices, before.frame.indices) and now.frame.number == number
        assert np.allclose(now.frame.precoders, before.frame.precoders,
                           atol=1e-4 * np.abs(before.frame.precoders).max())
        assert len(now.targets) == len(before.targets)
        for one, other in zip(now.targets, before.targets):
            assert np.allclose(one.position_m, other.position_m)
            assert np.allclose(one.velocity_mps, other.velocity_mps)
        noise = np.sqrt(tiny.propagation.noise_power_w)
        echo = drawn.echo(before, "rx2")
        assert np.abs(recorded.echo(now, "rx2") - echo).max() < 0.01 * noise
        assert recorded.echo(now, "rx2").dtype == np.complex64


def test_four_fifths_are_for_training(folder, tiny):
    splits = RecordedSamples(tiny, folder).splits
    assert (splits["train"].count, splits["validation"].first, splits["validation"].count) == (8, 8, 2)


def test_recordings_train(job, folder):
    recipe = replace(job.recipe, network={**job.recipe.network, "num_targets": 2})
    settings = replace(job.settings, train_samples=0, validation_samples=0, batch_size=2, epochs=1)
    training = train_here(
        replace(job, recipe=recipe, settings=settings, source=RecordedSamples(job.scene, folder)), Watcher())
    assert training.steps_per_epoch == 4 and training.folder.weights.is_file()


def test_another_scene_s_samples_are_refused(folder, small, tmp_path):
    with pytest.raises(ValueError, match="is of another scene than 'small': num_users 2 there, 3 here"):
        RecordedSamples(small, folder).splits
    with pytest.raises(ValueError, match="is no dataset: it has no dataset.json"):
        RecordedSamples(small, tmp_path).splits
    (folder / "dataset.json").write_text(json.dumps({"format": "other"}))
    with pytest.raises(ValueError, match="format 'other' is not 'cooperative_isac dataset 1'"):
        RecordedSamples(small, folder).splits
