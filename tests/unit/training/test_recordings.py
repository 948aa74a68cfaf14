"""Datasets on disk: the drawn samples within half precision, refused for another scene."""

import errno
import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from cooperative_isac.output.files import OutputError
from cooperative_isac.training.loop import Callback
from cooperative_isac.training.recordings import RecordedSamples, write_samples
from cooperative_isac.training.run import train_locally
from cooperative_isac.training.samples import DrawnSamples, SampleRanges


@pytest.fixture
def drawn(tiny):
    return DrawnSamples(tiny, SampleRanges(targets=(0, 2)))


@pytest.fixture
def folder(drawn, tmp_path):
    assert list(write_samples(drawn, tmp_path / "data", 10)) == list(range(1, 11))
    return tmp_path / "data"


def test_recorded_samples_are_those_drawn(drawn, folder, tiny):
    recorded = RecordedSamples(tiny, folder)
    for number in range(10):
        before, now = drawn.sample(number), recorded.sample(number)
        assert (
            np.array_equal(now.frame.indices, before.frame.indices) and now.frame.number == number
        )
        assert np.allclose(
            now.frame.precoders,
            before.frame.precoders,
            atol=1e-4 * np.abs(before.frame.precoders).max(),
        )
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
    assert (splits["train"].count, splits["validation"].first, splits["validation"].count) == (
        8,
        8,
        2,
    )


def test_training_runs_on_recordings(job, folder):
    recipe = replace(job.recipe, network={**job.recipe.network, "num_targets": 2})
    settings = replace(job.settings, train_samples=0, validation_samples=0, batch_size=2, epochs=1)
    training = train_locally(
        replace(job, recipe=recipe, settings=settings, source=RecordedSamples(job.scene, folder)),
        Callback(),
    )
    assert training.steps_per_epoch == 4 and training.folder.weights.is_file()


def test_another_scene_s_samples_are_refused(folder, small, tmp_path):
    with pytest.raises(
        ValueError, match="is of another scene than 'small': num_users 2 there, 3 here"
    ):
        _ = RecordedSamples(small, folder).splits
    with pytest.raises(ValueError, match=r"is no dataset: it has no dataset\.json"):
        _ = RecordedSamples(small, tmp_path).splits
    (folder / "dataset.json").write_text(json.dumps({"format": "other"}))
    with pytest.raises(ValueError, match="format 'other' is not 'cooperative_isac dataset 1'"):
        _ = RecordedSamples(small, folder).splits


def changed(folder, name, change):
    """Replace the content of one file of a dataset."""
    path = folder / name
    if name.endswith(".npy") and not isinstance(change, bytes):
        array = np.array(np.load(path))
        path.unlink()
        np.save(path, change(array), allow_pickle=True)
    else:
        path.write_bytes(change if isinstance(change, bytes) else change(path.read_bytes()))


def with_value(place, value):
    """A change of one number of an array."""

    def change(array):
        array[place] = value
        return array

    return change


@pytest.mark.parametrize(
    ("name", "change", "fault"),
    [
        ("dataset.json", b"", "dataset.json: Expecting value"),
        ("dataset.json", b"\xff\x00", "dataset.json: 'utf-8' codec"),
        ("dataset.json", b"[1]", "dataset.json: format 'None' is not"),
        (
            "dataset.json",
            lambda text: text.replace(b'"samples": 10', b'"samples": "10"'),
            "samples: Input should be",
        ),
        (
            "dataset.json",
            lambda text: text.replace(b'"samples": 10', b'"samples": 1'),
            "samples: .* greater than",
        ),
        (
            "dataset.json",
            lambda text: text.replace(b'"samples": 10', b'"samples": 11'),
            "must be float32 11 x any",
        ),
        ("targets.npy", b"", "targets.npy: is no .npy file of numbers, or cut off"),
        (
            "targets.npy",
            lambda array: array[:, :, 0],
            "targets.npy: is float32 10 x 2 x 3, must be float32 10 x any",
        ),
        (
            "targets.npy",
            lambda array: array.astype(object),
            "targets.npy: is no .npy file of numbers",
        ),
        (
            "downlink.npy",
            lambda array: array.astype(float),
            "downlink.npy: is float64 .*must be uint8",
        ),
        (
            "echo-rx1.npy",
            lambda array: array[:, :7],
            "echo-rx1.npy: is float16 10 x 7 x .*must be float16 10 x 8",
        ),
        ("echo-rx2.npy", b"\x93NUMPY\x01\x00v\x00{", "echo-rx2.npy: is no .npy file"),
    ],
)
def test_a_foreign_file_is_named_before_the_training(folder, tiny, name, change, fault):
    changed(folder, name, change)
    with pytest.raises(ValueError, match=fault) as caught:
        _ = RecordedSamples(tiny, folder).splits
    assert str(folder) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(
    ("name", "change", "fault"),
    [
        (
            "targets.npy",
            with_value((3, 0, 0, 1), np.inf),
            "sample 3 has numbers that are not finite in the row",
        ),
        ("downlink.npy", with_value((3, slice(0, 20)), 255), "sample 3 downlink payload has"),
        (
            "echo-rx2.npy",
            with_value((3, 0, 0, 0, 0), np.nan),
            "sample 3 has numbers that are not finite",
        ),
    ],
)
def test_a_broken_sample_ends_the_training_in_one_line(job, folder, name, change, fault, workers):
    changed(folder, name, change)
    settings = replace(job.settings, train_samples=0, validation_samples=0, batch_size=4, epochs=1)
    recipe = replace(job.recipe, network={**job.recipe.network, "num_targets": 2})
    source = RecordedSamples(job.scene, folder)
    with pytest.raises(ValueError, match=f"{name}: {fault}") as caught:
        train_locally(
            replace(job, recipe=recipe, settings=settings, source=source, num_workers=workers),
            Callback(),
        )
    assert "\n" not in str(caught.value)


def test_fewer_samples_than_a_batch_train_as_a_smaller_batch(job, folder):
    settings = replace(job.settings, train_samples=0, validation_samples=0, batch_size=64, epochs=1)
    recipe = replace(job.recipe, network={**job.recipe.network, "num_targets": 2})
    training = train_locally(
        replace(job, recipe=recipe, settings=settings, source=RecordedSamples(job.scene, folder)),
        Callback(),
    )
    assert (training.batch_size, training.steps_per_epoch) == (8, 1)
    assert np.isfinite(training.rows[0]["loss"]) and training.folder.weights.is_file()


def test_a_dataset_goes_to_a_new_folder(drawn, tmp_path):
    with pytest.raises(OutputError, match="exists; name a folder that does not"):
        next(write_samples(drawn, tmp_path, 5))


def test_a_dataset_without_room_is_refused_before_anything_is_written(drawn, tmp_path, monkeypatch):
    free = SimpleNamespace(free=10**6)
    monkeypatch.setattr("shutil.disk_usage", lambda _: free)
    with pytest.raises(
        OutputError, match=r"GB are needed, 0\.0 GB are free; make room, or draw fewer --samples"
    ):
        next(write_samples(drawn, tmp_path / "data", 1000))
    assert not list(tmp_path.iterdir())


def test_a_disk_that_fills_up_leaves_nothing_of_a_dataset(drawn, tmp_path, monkeypatch):
    def fill_up(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", fill_up)
    with pytest.raises(OutputError, match="data: No space left on device; make room"):
        next(write_samples(drawn, tmp_path / "data", 5))
    assert not list(tmp_path.iterdir())
