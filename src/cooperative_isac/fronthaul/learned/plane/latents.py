"""How a latent is laid out of which a centre makes a plane: what is learned, then what an access point measured."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

PEAK_SHARPNESS = 8.0


@dataclass(frozen=True)
class Measured:
    """The strongest echo of each transmitter in each cell of a map or spectrum, all [batch, num_tx, rows, columns]:
    power, log10(1 + SNR); doppler, over the largest; length, of the path less that of the cell's middle, m. All are 0
    where nothing is heard."""

    power: Tensor
    doppler: Tensor
    length_m: Tensor


def strongest(power: Tensor, doppler: Tensor, length_m: Tensor, noise_level: float) -> Measured:
    """Of echoes along the last axis the strongest; nothing is heard where it is no stronger than noise_level."""
    weights = torch.softmax(PEAK_SHARPNESS * power, -1)
    power, doppler, length_m = ((weights * values).sum(-1) for values in (power, doppler, length_m))
    heard = (power > noise_level).to(power.dtype)
    return Measured(power * heard, doppler * heard, length_m * heard)


@dataclass(frozen=True)
class LatentLayout:
    """num_parts parts of part_dim numbers: learned ones, one with the powers, then one Doppler shift and one length
    of each transmitter, alone in its part: its codebook has nothing else to tell. quantised: parts are filled up with
    zeros to part_dim, else there is nothing in a latent but what it tells."""

    num_parts: int
    part_dim: int
    num_tx: int
    quantised: bool = True

    def __post_init__(self) -> None:
        if self.num_learned < 1:
            raise ValueError(f"codebook.num_parts is {self.num_parts}; {self.num_tx} transmitters need "
                             f"{2 * self.num_tx + 2} or more")
        if self.part_dim < self.num_tx:
            raise ValueError(f"part_dim is {self.part_dim}; {self.num_tx} transmitters need {self.num_tx} or more")

    @property
    def num_numbers(self) -> int:
        """Numbers of a latent that tell something."""
        return self.num_learned * self.part_dim + 3 * self.num_tx

    @property
    def size(self) -> int:
        return self.num_parts * self.part_dim if self.quantised else self.num_numbers

    @property
    def num_learned(self) -> int:
        """Parts that are learned."""
        return self.num_parts - 1 - 2 * self.num_tx

    def join(self, learned: Tensor, measured: Measured) -> Tensor:
        """learned: [batch, num_learned part_dim, rows, columns]. Returns [batch, rows columns, size]."""
        alone = torch.stack([measured.doppler, measured.length_m], 1).flatten(1, 2)[:, :, None]
        parts = torch.cat([self._padded(part).flatten(1, 2) for part in (measured.power[:, None], alone)], 1)
        return torch.cat([learned, parts], 1).flatten(2).transpose(1, 2)

    def _padded(self, parts: Tensor) -> Tensor:
        if not self.quantised:
            return parts
        rest = parts.new_zeros(*parts.shape[:2], self.part_dim - parts.shape[2], *parts.shape[3:])
        return torch.cat([parts, rest], 2)

    def split(self, latents: Tensor, shape: tuple[int, int]) -> tuple[Tensor, Measured]:
        """Learned planes and what was measured, from latents [batch, rows columns, size]; shape: (rows, columns)."""
        planes = latents.transpose(1, 2).unflatten(2, shape)
        powers, alone_size = (self.part_dim, self.part_dim) if self.quantised else (self.num_tx, 1)
        learned, told = planes.tensor_split([self.num_learned * self.part_dim], 1)
        power, alone = told[:, :self.num_tx], told[:, powers::alone_size]
        return learned, Measured(power, alone[:, :self.num_tx], alone[:, self.num_tx:])
