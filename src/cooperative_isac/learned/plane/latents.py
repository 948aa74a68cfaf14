"""How a latent is laid out of which a center makes a plane: what is learned, then what an access
point measured.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

PEAK_SHARPNESS = 8.0


@dataclass(frozen=True)
class StrongestEchoes:
    """The strongest echo of each transmitter in each cell of a map or spectrum, all [batch, num_tx,
    rows, columns]: power, log10(1 + SNR); doppler, over the largest; length, of the path less that
    of the cell's middle, m; beam, of arrival less the cell's, in beams, where cells are beams. All
    are 0 where nothing is heard.
    """

    power: Tensor
    doppler: Tensor
    length_m: Tensor
    beam: Tensor | None = None


def strongest(power: Tensor, *others: Tensor, noise_level: float) -> StrongestEchoes:
    """Of echoes along the last axis the strongest; nothing is heard where it is no stronger than
    noise_level.
    """
    weights = torch.softmax(PEAK_SHARPNESS * power, -1)
    peak, *rest = ((weights * values).sum(-1) for values in (power, *others))
    heard = (peak > noise_level).to(peak.dtype)
    return StrongestEchoes(peak * heard, *(values * heard for values in rest))


@dataclass(frozen=True)
class LatentLayout:
    """num_parts parts of part_dim numbers: learned ones, one with the powers, where has_beams one
    with the beams, then
    one Doppler shift and one length of each transmitter, alone in its part: its codebook has
    nothing else to tell.
    quantized: parts are filled up with zeros to part_dim, else there is nothing in a latent but
    what it tells.
    """

    num_parts: int
    part_dim: int
    num_tx: int
    quantized: bool = True
    has_beams: bool = False

    def __post_init__(self) -> None:
        if self.num_learned < 1:
            raise ValueError(
                f"codebook.num_parts is {self.num_parts}; {self.num_tx} transmitters need "
                f"{self._num_told + 1} or more"
            )
        if self.part_dim < self.num_tx:
            raise ValueError(
                f"part_dim is {self.part_dim}; {self.num_tx} transmitters need {self.num_tx} or "
                "more"
            )

    @property
    def num_numbers(self) -> int:
        """Numbers of a latent that tell something."""
        return self.num_learned * self.part_dim + (self._num_shared + 2) * self.num_tx

    @property
    def size(self) -> int:
        """Numbers of a latent."""
        return self.num_parts * self.part_dim if self.quantized else self.num_numbers

    @property
    def num_learned(self) -> int:
        """Parts that are learned."""
        return self.num_parts - self._num_told

    @property
    def _num_shared(self) -> int:
        return 1 + self.has_beams

    @property
    def _num_told(self) -> int:
        return self._num_shared + 2 * self.num_tx

    def join(self, learned: Tensor, measured: StrongestEchoes) -> Tensor:
        """learned: [batch, num_learned part_dim, rows, columns]. Returns [batch, rows columns,
        size].
        """
        shared = [measured.power]
        if self.has_beams:
            assert measured.beam is not None
            shared.append(measured.beam)
        alone = torch.stack([measured.doppler, measured.length_m], 1).flatten(1, 2)[:, :, None]
        parts = torch.cat(
            [self._padded(part).flatten(1, 2) for part in (torch.stack(shared, 1), alone)], 1
        )
        return torch.cat([learned, parts], 1).flatten(2).transpose(1, 2)

    def _padded(self, parts: Tensor) -> Tensor:
        if not self.quantized:
            return parts
        rest = parts.new_zeros(*parts.shape[:2], self.part_dim - parts.shape[2], *parts.shape[3:])
        return torch.cat([parts, rest], 2)

    def split(self, latents: Tensor, shape: tuple[int, int]) -> tuple[Tensor, StrongestEchoes]:
        """Learned planes and what was measured, from latents [batch, rows columns, size]; shape:
        (rows, columns).
        """
        planes = latents.transpose(1, 2).unflatten(2, shape)
        width, step = (self.part_dim, self.part_dim) if self.quantized else (self.num_tx, 1)
        learned, shared, alone = planes.tensor_split(
            [
                self.num_learned * self.part_dim,
                self.num_learned * self.part_dim + self._num_shared * width,
            ],
            1,
        )
        power, *beam = shared.unflatten(1, (-1, width))[:, :, : self.num_tx].unbind(1)
        return learned, StrongestEchoes(power, *alone[:, ::step].chunk(2, 1), *beam)
