"""Vector quantizer with codebooks learned by moving averages (CF sections III-B and IV-A)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

# Buffers of a Codebook that only its training needs.
TRAINING_STATE = ("counts", "sums", "idle_steps")
# Mean number of uses with which given codewords begin: that of an ordinary batch, 8,192 latents for
# 256 codewords, so that they move within a hundred steps.
BEGIN_COUNT = 32.0
# Codewords with a smaller moving average of their uses keep their place: the mean of what they
# were used for would be a quotient of rounding errors.
MIN_COUNT = 1e-6


@dataclass(frozen=True)
class CodebookConfig:
    """Hyperparameters of a codebook.

    size: number of codewords N_c of each part, a power of two
    num_parts: parts into which a latent is cut, each with codewords of its own (1: CF; more:
    product quantization)
    decay: gamma of CF eqs. 18-19
    restart_after: training steps without use after which a latent of the batch replaces a codeword
    (0: never)
    """

    size: int
    num_parts: int = 1
    decay: float = 0.99
    restart_after: int = 100

    @property
    def width(self) -> int:
        """Bits of an index, N_b."""
        return (self.size - 1).bit_length()


class Codebook(nn.Module):
    """The codebook of one receiver.

    codewords: [num_parts, size, latent_dim / num_parts], float32
    tables: [num_parts, size], int32, frequencies of the codewords, with which their indices are
    coded (index_coder); None: each index has the same number of bits
    """

    def __init__(self, latent_dim: int, config: CodebookConfig):
        super().__init__()
        if latent_dim % config.num_parts or config.size != 1 << config.width:
            raise ValueError(
                f"codebook of {config.size} codewords in {config.num_parts} parts does not fit "
                f"latents of {latent_dim} numbers: size must be a power of two, num_parts a "
                f"divisor of {latent_dim}"
            )
        self.config = config
        self.tables: Tensor | None = None

        # Codewords, and the state of their training.
        shape = (config.num_parts, config.size, latent_dim // config.num_parts)
        self.register_buffer("codewords", torch.randn(shape) * shape[-1] ** -0.5)
        self.register_buffer("counts", torch.zeros(shape[:2]))
        self.register_buffer("sums", torch.zeros(shape))

        # Random codewords that the first batch does not use are replaced at once.
        self.register_buffer("idle_steps", torch.full(shape[:2], config.restart_after))

    def nearest(self, latents: Tensor) -> Tensor:
        """Index of the nearest codeword of each part (CF eq. 15).

        latents: [..., latent_dim], float32
        Returns [..., num_parts], int64.
        """
        # |z - e|^2 without |z|^2, which is the same for all codewords: |e|^2 - 2 z^T e,
        # [num_parts, number of latents, size].
        parts = self._parts(latents.detach())
        squares = self.codewords.square().sum(-1)[:, None]
        distances = torch.baddbmm(squares, parts, self.codewords.mT, alpha=-2)
        indices = distances.argmin(-1).T
        return indices.reshape(*latents.shape[:-1], -1)

    def lookup(self, indices: Tensor) -> Tensor:
        """Codewords of indices (CF eq. 14).

        indices: [..., num_parts], int64
        Returns [..., latent_dim], float32.
        """
        part = torch.arange(self.config.num_parts, device=indices.device)
        return self.codewords[part, indices].flatten(-2)

    @torch.no_grad()
    def begin_with(self, codewords: Tensor, uses: Tensor | None) -> None:
        """Set the codewords with which training begins.

        codewords: [num_parts, size, latent_dim / num_parts], float32
        uses: [num_parts, size], in any unit, how often each was used; None: all the same
        """
        if uses is None:
            uses = torch.ones(codewords.shape[:2])
        self.codewords.copy_(codewords)
        self.counts.copy_(BEGIN_COUNT * uses / uses.double().mean(1, keepdim=True))
        self.sums.copy_(self.counts[..., None] * codewords)
        self.idle_steps.zero_()

    @torch.no_grad()
    def update(self, latents: Tensor, indices: Tensor, generator: torch.Generator) -> None:
        """One training step of the codewords (CF eqs. 18-20); unused ones are restarted.

        latents: [..., latent_dim], float32
        indices: [..., num_parts], int64, as from nearest
        generator: chooses the latents that replace unused codewords
        """
        # Number and sum of the latents of each codeword.
        parts = self._parts(latents)
        used = usage(indices, self.config.size).to(parts.dtype)
        rows = _table_rows(indices, self.config.size)
        sums = torch.zeros_like(self.sums).flatten(0, 1)
        sums.index_add_(0, rows, parts.flatten(0, 1))

        # Their moving averages, and the mean latent of each codeword.
        self.counts.lerp_(used, 1 - self.config.decay)
        self.sums.lerp_(sums.view_as(self.sums), 1 - self.config.decay)
        is_alive = self.counts > MIN_COUNT
        self.codewords[is_alive] = self.sums[is_alive] / self.counts[is_alive, None]

        # Restart codewords that have not been used for too long.
        self.idle_steps.add_(1)
        self.idle_steps.masked_fill_(used > 0, 0)
        if self.config.restart_after:
            self._restart(parts, self.idle_steps >= self.config.restart_after, generator)

    def _restart(self, parts: Tensor, is_dead: Tensor, generator: torch.Generator) -> None:
        """Replace dead codewords by latents of the batch.

        parts: [num_parts, number of latents, part_dim], float32
        is_dead: [num_parts, size], bool
        """
        # A random latent for each; drawn on the generator's device, which may be another one.
        part, codeword = is_dead.nonzero(as_tuple=True)
        chosen = torch.randint(
            parts.shape[1], (len(part),), generator=generator, device=generator.device
        )
        self.codewords[part, codeword] = parts[part, chosen.to(parts.device)]

        # They begin without uses.
        for state in (self.counts, self.sums, self.idle_steps):
            state[part, codeword] = 0

    def _parts(self, latents: Tensor) -> Tensor:
        """Parts of latents, [num_parts, number of latents, part_dim]."""
        return latents.reshape(-1, self.config.num_parts, self.codewords.shape[-1]).transpose(0, 1)


def commitment(latents: Tensor, codewords: Tensor) -> Tensor:
    """Commitment loss (CF eq. 21): mean squared distance to codewords, without their gradient."""
    return nn.functional.mse_loss(latents, codewords.detach())


def perplexity(indices: Tensor, size: int) -> float:
    """Effective number of codewords in use: exp of the entropy of indices, mean over parts.

    indices: [..., num_parts], int64
    """
    counts = usage(indices, size)
    shares = counts / counts.sum(-1, keepdim=True)
    return float(torch.special.entr(shares).sum(-1).exp().mean())


def usage(indices: Tensor, size: int) -> Tensor:
    """Number of uses of each codeword.

    indices: [..., num_parts], int64
    Returns [num_parts, size], int64.
    """
    num_rows = indices.shape[-1] * size
    return torch.bincount(_table_rows(indices, size), minlength=num_rows).reshape(-1, size)


def _table_rows(indices: Tensor, size: int) -> Tensor:
    """Rows of indices [..., num_parts] in a table of all parts' codewords, part by part."""
    by_part = indices.reshape(-1, indices.shape[-1]).T
    first_rows = size * torch.arange(len(by_part), device=by_part.device)
    return (by_part + first_rows[:, None]).reshape(-1)
