"""Codebooks that follow the latents by exponential moving averages (CF sections III-B and IV-A)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

TRAINING_STATE = ("counts", "sums", "idle_steps")  # of a Codebook: not needed once it is trained


@dataclass(frozen=True)
class CodebookConfig:
    """size: codewords N_c, a power of two; num_parts: each latent is cut into so many parts, each
    with a codebook of its own (1: CF; more: product quantization); decay: gamma of CF eqs. 18-19;
    restart_after: training steps without use after which a codeword is replaced by a latent of the
    batch (0: never).
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
    """The codebook of one receiver: codewords [num_parts, size, latent_dim / num_parts],
    float32.
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
        shape = (config.num_parts, config.size, latent_dim // config.num_parts)
        self.register_buffer("codewords", torch.randn(shape) * shape[-1] ** -0.5)
        self.register_buffer("counts", torch.zeros(shape[:2]))
        self.register_buffer("sums", torch.zeros(shape))
        self.register_buffer("idle_steps", torch.full(shape[:2], config.restart_after))

    def nearest(self, latents: Tensor) -> Tensor:
        """Index of the nearest codeword of each part (CF eq. 15).

        latents: [..., latent_dim]. Returns [..., num_parts], int64.
        """
        parts = self._parts(latents.detach())
        lengths = self.codewords.square().sum(-1)[:, None]
        distances = torch.baddbmm(lengths, parts, self.codewords.mT, alpha=-2)
        return distances.argmin(-1).T.reshape(*latents.shape[:-1], -1)

    def lookup(self, indices: Tensor) -> Tensor:
        """Codewords of indices (CF eq. 14): [..., num_parts], int64, to [..., latent_dim]."""
        part = torch.arange(self.config.num_parts, device=indices.device)
        return self.codewords[part, indices].flatten(-2)

    @torch.no_grad()
    def follow(self, latents: Tensor, indices: Tensor, generator: torch.Generator) -> None:
        """One training step of the codewords towards their latents (CF eqs. 18-20); restart the
        dead.

        latents: [..., latent_dim]; indices: [..., num_parts].
        """
        parts, decay = self._parts(latents), self.config.decay
        used = usage(indices, self.config.size).to(parts.dtype)
        places = _places(indices, self.config.size)
        assigned = (
            torch.zeros_like(self.sums).flatten(0, 1).index_add_(0, places, parts.flatten(0, 1))
        )
        self.counts.lerp_(used, 1 - decay)
        self.sums.lerp_(assigned.view_as(self.sums), 1 - decay)
        alive = self.counts > 1e-6
        self.codewords[alive] = self.sums[alive] / self.counts[alive, None]
        self.idle_steps.add_(1).masked_fill_(used > 0, 0)
        if self.config.restart_after:
            self._restart(parts, self.idle_steps >= self.config.restart_after, generator)

    def _restart(self, parts: Tensor, dead: Tensor, generator: torch.Generator) -> None:
        part, codeword = dead.nonzero(as_tuple=True)
        chosen = torch.randint(
            parts.shape[1], (len(part),), generator=generator, device=generator.device
        )
        self.codewords[part, codeword] = parts[part, chosen.to(parts.device)]
        for state in (self.counts, self.sums, self.idle_steps):
            state[part, codeword] = 0

    def _parts(self, latents: Tensor) -> Tensor:
        """Parts of latents, [num_parts, number of latents, part_dim]."""
        return latents.reshape(-1, self.config.num_parts, self.codewords.shape[-1]).transpose(0, 1)


def commitment(latents: Tensor, codewords: Tensor) -> Tensor:
    """Mean squared distance of latents to their codewords, which stay where they are (CF eq.
    21).
    """
    return nn.functional.mse_loss(latents, codewords.detach())


def perplexity(indices: Tensor, size: int) -> float:
    """Codewords in use, effectively: exp of the entropy of indices [..., num_parts], mean over
    parts.
    """
    counts = usage(indices, size)
    shares = counts / counts.sum(-1, keepdim=True)
    return float(torch.special.entr(shares).sum(-1).exp().mean())


def usage(indices: Tensor, size: int) -> Tensor:
    """How often each codeword is used: indices [..., num_parts], int64, to [num_parts, size],
    int64.
    """
    return torch.bincount(_places(indices, size), minlength=indices.shape[-1] * size).reshape(
        -1, size
    )


def _places(indices: Tensor, size: int) -> Tensor:
    """Rows of indices [..., num_parts] in a table of all parts' codewords, part by part."""
    rows = indices.reshape(-1, indices.shape[-1]).T
    return (rows + size * torch.arange(len(rows), device=rows.device)[:, None]).reshape(-1)
