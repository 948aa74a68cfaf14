"""Batches: the same from every number of processes, and from a cache."""

import numpy as np
import pytest
import torch

from cooperative_isac.learned.construction import make_network
from cooperative_isac.training.batches import Examples, batches, epoch_groups, truth_arrays
from cooperative_isac.training.cache import Cache, cached_fields

GROUPS = [[3, 1], [4, 9]]


@pytest.fixture
def network(job):
    return make_network(job.scene, job.recipe.kind, job.recipe.network)


@pytest.fixture
def examples(job, network):
    return Examples(network, job.samples, network.receivers)


def same(first, second):
    return (
        first.numbers == second.numbers
        and torch.equal(first.side_information, second.side_information)
        and torch.equal(first.truth.state, second.truth.state)
        and all(
            torch.equal(first.observations[name], second.observations[name])
            for name in ("rx1", "rx2")
        )
    )


def test_a_batch_has_the_inputs_of_each_side(job, network, examples):
    batch = list(batches(examples, GROUPS, 0))[1]
    sample = job.samples.sample(9)
    assert batch.numbers == (4, 9) and batch.truth.present.tolist() == [[True], [True]]
    target = sample.targets[0]
    assert np.allclose(batch.truth.state[1, 0], [*target.position_m[:2], *target.velocity_mps[:2]])
    observed = network.encoder_input(job.samples.echo(sample, "rx2"), sample.frame, "rx2")
    assert np.array_equal(batch.observations["rx2"][1], observed)


def test_worker_processes_change_nothing(examples):
    assert all(
        same(*pair)
        for pair in zip(batches(examples, GROUPS, 0), batches(examples, GROUPS, 2), strict=True)
    )


def test_an_access_point_draws_its_own_echoes_alone(job, network, examples):
    own = next(batches(Examples(network, job.samples, ("rx2",), at_center=False), GROUPS, 0))
    assert list(own.observations) == ["rx2"] and own.truth is None
    assert torch.equal(
        own.observations["rx2"], next(batches(examples, GROUPS, 0)).observations["rx2"]
    )


def test_fewer_targets_than_outputs_leave_zeros(job):
    targets = job.samples.sample(0).targets
    present, state = truth_arrays(targets, 3, 2)
    assert (
        present.tolist() == [True, False, False]
        and not state[1:].any()
        and state.dtype == np.float32
    )
    with pytest.raises(ValueError, match="has 1 targets, the network detects 0 at most"):
        truth_arrays(targets, 0, 2)


def test_epochs_shuffle_all_samples_anew():
    first, second = (epoch_groups(np.arange(100, 111), 4, 7, epoch) for epoch in (0, 1))
    assert [len(group) for group in first] == [4, 4]
    drawn = np.concatenate(first)
    assert len(set(drawn)) == 8 and set(drawn) <= set(range(100, 111))
    assert not np.array_equal(first, second) and np.array_equal(
        first, epoch_groups(np.arange(100, 111), 4, 7, 0)
    )


def cache_of(examples, folder, key="key"):
    return Cache(folder, key, 10, cached_fields(examples[0]))


def test_a_cache_stores_examples_in_half_precision(job, network, examples, tmp_path):
    plain = list(batches(examples, GROUPS, 0))
    cached = Examples(
        network, job.samples, network.receivers, cache=cache_of(examples, tmp_path / "cache")
    )
    first = list(batches(cached, GROUPS, 2))
    assert cached.cache.num_cached == 4
    broken = Examples(
        network, None, network.receivers, cache=cache_of(examples, tmp_path / "cache")
    )
    second = list(batches(broken, GROUPS, 0))
    for drawn, before, again in zip(plain, first, second, strict=True):
        assert same(before, again)
        assert torch.allclose(
            before.observations["rx1"].float(), drawn.observations["rx1"], atol=0.01
        )
        assert torch.equal(before.truth.state, drawn.truth.state)
    assert cached[3]["observation/rx1"].dtype == np.float16
    assert first[0].observations["rx1"].dtype == torch.float32


def test_a_cache_of_other_samples_is_refused(examples, tmp_path):
    cache_of(examples, tmp_path / "cache")
    with pytest.raises(
        ValueError, match="holds samples of another scene, network input, sample ranges, "
    ):
        cache_of(examples, tmp_path / "cache", "another key")


def test_networks_of_other_width_share_a_cache(job, network):
    wide, raw = (
        make_network(job.scene, "paper_dvqvae", {**job.recipe.network, **change})
        for change in ({"hidden": 16}, {"input": "raw"})
    )
    assert wide.input_key == network.input_key != raw.input_key
