"""Codebooks against plain loops and against an independent implementation."""

import numpy as np
import pytest
import torch
from vector_quantize_pytorch import VectorQuantize

from cooperative_isac.learned.quantizer import (
    Codebook,
    CodebookConfig,
    commitment,
    perplexity,
)

DECAY = 0.9


def random_generator():
    return torch.Generator().manual_seed(3)


def codebook_of(size=8, num_parts=1, latent_dim=6, restart_after=0):
    torch.manual_seed(1)
    return Codebook(latent_dim, CodebookConfig(size, num_parts, DECAY, restart_after))


def latents_of(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("num_parts", [1, 2, 3])
def test_each_part_has_its_nearest_codeword(num_parts):
    codebook, latents = codebook_of(num_parts=num_parts), latents_of(2, 5, 6)
    indices = codebook.nearest(latents)
    assert indices.shape == (2, 5, num_parts)
    words, width = codebook.codewords.numpy(), 6 // num_parts
    for place in np.ndindex(2, 5):
        for part in range(num_parts):
            own = latents[place].numpy()[part * width : (part + 1) * width]
            away = [np.linalg.norm(own - word) for word in words[part]]
            assert indices[place][part] == int(np.argmin(away))
            looked_up = codebook.lookup(indices)[place].numpy()[part * width : (part + 1) * width]
            assert np.array_equal(looked_up, words[part, indices[place][part]])


@pytest.mark.parametrize("num_parts", [1, 3])
def test_an_independent_implementation_agrees_step_by_step(num_parts):
    ours, generator = codebook_of(num_parts=num_parts), random_generator()
    theirs = VectorQuantize(
        6,
        8,
        codebook_dim=6 // num_parts,
        heads=num_parts,
        separate_codebook_per_head=True,
        decay=DECAY,
        eps=1e-12,
        threshold_ema_dead_code=0,
        rotation_trick=False,
    )
    state = theirs._codebook
    for own, other in ((ours.codewords, state.embed), (ours.codewords, state.embed_avg)):
        other.data.copy_(own)
    ours.counts.fill_(1), ours.sums.copy_(ours.codewords)
    for step in range(30):
        latents = latents_of(4, 16, 6, seed=step)
        _, expected, _ = theirs(latents)
        indices = ours.nearest(latents)
        ours.update(latents, indices, generator)
        assert torch.equal(indices, expected.reshape(indices.shape))
        assert torch.allclose(ours.codewords, state.embed, atol=1e-5, rtol=0)


def test_a_first_step_makes_codewords_the_mean_of_their_latents():
    # CF eqs. 18-20 with accumulators that begin at zero: the first step's ratio is the plain mean.
    codebook, latents = codebook_of(), latents_of(40, 6)
    before, indices = codebook.codewords.clone(), codebook.nearest(latents)
    codebook.update(latents, indices, random_generator())
    for word in range(8):
        own = latents[indices[:, 0] == word]
        assert torch.allclose(
            codebook.codewords[0, word], own.mean(0) if len(own) else before[0, word], atol=1e-6
        )


def test_a_codeword_without_use_is_restarted_at_a_latent_of_the_batch():
    codebook, latents = codebook_of(restart_after=3), latents_of(10, 6)
    codebook.idle_steps.zero_()
    codebook.codewords[0, 5] = 100.0
    for _ in range(3):
        assert torch.equal(codebook.codewords[0, 5], torch.full((6,), 100.0))
        codebook.update(latents, codebook.nearest(latents), random_generator())
    assert any(torch.equal(codebook.codewords[0, 5], latent) for latent in latents)
    assert codebook.idle_steps[0, 5] == 0 and codebook.counts[0, 5] == 0


def test_many_steps_use_every_codeword_and_quantize_well():
    codebook, generator = codebook_of(restart_after=5), random_generator()
    centers = 10 * latents_of(8, 6, seed=9)
    for step in range(60):
        latents = centers[torch.randint(8, (200,), generator=generator)] + 0.1 * latents_of(
            200, 6, seed=step
        )
        indices = codebook.nearest(latents)
        codebook.update(latents, indices, generator)
    assert perplexity(indices, 8) > 7
    assert commitment(latents, codebook.lookup(codebook.nearest(latents))) < 0.02


def test_restarts_are_those_of_the_generator():
    words = []
    for seed in (3, 3, 4):
        codebook, latents = codebook_of(restart_after=1), latents_of(4, 6)
        codebook.update(latents, codebook.nearest(latents), torch.Generator().manual_seed(seed))
        words.append(codebook.codewords)
    assert torch.equal(words[0], words[1]) and not torch.equal(words[0], words[2])


def test_perplexity_counts_codewords_in_equal_use():
    indices = torch.tensor([[0, 1], [1, 1], [2, 1], [3, 1]])
    assert perplexity(indices, 8) == pytest.approx((4 + 1) / 2)


def test_commitment_has_a_gradient_for_latents_alone():
    latents, codewords = (
        latents_of(3, 6).requires_grad_(),
        latents_of(3, 6, seed=1).requires_grad_(),
    )
    commitment(latents, codewords).backward()
    assert torch.allclose(latents.grad, 2 * (latents - codewords) / 18) and codewords.grad is None


@pytest.mark.parametrize(("size", "num_parts"), [(12, 1), (8, 4)])
def test_a_codebook_that_does_not_fit_is_refused(size, num_parts):
    with pytest.raises(ValueError, match=f"{size} codewords in {num_parts} parts .* power of two"):
        codebook_of(size, num_parts)


def test_an_index_takes_the_bits_of_the_paper():
    assert CodebookConfig(32).width == 5  # CF section V-C: N_c = 32, N_b = 5
