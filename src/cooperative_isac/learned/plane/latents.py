"""Layout of a latent vector: learned numbers, then the measurements of the strongest echoes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

# Slope of the soft-max over echoes, per decade of power: an echo 3 dB below the strongest one has
# a tenth of its weight.
PEAK_SHARPNESS = 8.0


@dataclass(frozen=True)
class StrongestEchoes:
    """The strongest echo of each transmitter in each cell of a map or spectrum; 0 below the noise.

    power: [batch, num_tx, rows, columns], float32, log10(1 + SNR)
    doppler: [batch, num_tx, rows, columns], float32, share of the largest Doppler shift
    length_m: [batch, num_tx, rows, columns], float32, m, path length less that of the cell's middle
    beam: [batch, num_tx, rows, columns], float32, beams, beam of arrival less the cell's; None
    where cells are no beams
    rise: [batch, num_tx, rows, columns], float32, sine of the elevation of arrival over the
    horizontal plane of the array; None in a plane
    """

    power: Tensor
    doppler: Tensor
    length_m: Tensor
    beam: Tensor | None = None
    rise: Tensor | None = None


def strongest_echoes(power: Tensor, noise_level: float, **others: Tensor) -> StrongestEchoes:
    """Soft-max pooling over the last axis, by power; zero where the peak is below noise_level.

    power: [batch, num_tx, rows, columns, num_echoes], float32, log10(1 + SNR)
    noise_level: largest power of noise alone, log10(1 + SNR)
    others: same shape, float32, the other fields of each echo by their names
    """
    # Weighted means, in which the strongest echo prevails.
    weights = torch.softmax(PEAK_SHARPNESS * power, -1)
    peak_power = (weights * power).sum(-1)
    peak_others = {name: (weights * values).sum(-1) for name, values in others.items()}

    # Zero where there is noise alone.
    is_detected = (peak_power > noise_level).to(peak_power.dtype)
    return StrongestEchoes(
        peak_power * is_detected,
        **{name: values * is_detected for name, values in peak_others.items()},
    )


@dataclass(frozen=True)
class LatentLayout:
    """Layout of a latent vector of num_parts parts, each of part_dim numbers.

    The learned parts come first, then one part with the powers, one with the beams (if has_beams),
    and for each transmitter one part with its Doppler shift, one with its path length and one with
    the rise of its arrival (if has_rises). Each of these is alone in its part, so that a codebook
    of its own quantizes it.

    quantized: pad each measured part with zeros to part_dim; otherwise a latent has no padding
    """

    num_parts: int
    part_dim: int
    num_tx: int
    quantized: bool = True
    has_beams: bool = False
    has_rises: bool = False

    def __post_init__(self) -> None:
        if self.num_learned < 1:
            raise ValueError(
                f"codebook.num_parts is {self.num_parts}; {self.num_tx} transmitters need "
                f"{self._num_measured + 1} or more"
            )
        if self.part_dim < self.num_tx:
            raise ValueError(
                f"part_dim is {self.part_dim}; {self.num_tx} transmitters need {self.num_tx} or "
                "more"
            )

    @property
    def num_numbers(self) -> int:
        """Numbers of a latent without its padding."""
        return (
            self.num_learned * self.part_dim + (self._num_shared + self._num_single) * self.num_tx
        )

    @property
    def size(self) -> int:
        """Numbers of a latent with its padding."""
        return self.num_parts * self.part_dim if self.quantized else self.num_numbers

    @property
    def num_learned(self) -> int:
        """Number of learned parts."""
        return self.num_parts - self._num_measured

    @property
    def _num_shared(self) -> int:
        """Number of parts with a value of every transmitter: powers and beams."""
        return 1 + self.has_beams

    @property
    def _num_single(self) -> int:
        """Number of parts with one value of a transmitter: Doppler shift, length and rise."""
        return 2 + self.has_rises

    @property
    def _num_measured(self) -> int:
        """Number of measured parts."""
        return self._num_shared + self._num_single * self.num_tx

    def join(self, learned: Tensor, measured: StrongestEchoes) -> Tensor:
        """Latents of learned planes and measured echoes.

        learned: [batch, num_learned part_dim, rows, columns], float32
        Returns [batch, rows columns, size], float32.
        """
        # Parts shared by the transmitters: powers, beams.
        shared = [measured.power]
        if self.has_beams:
            assert measured.beam is not None
            shared.append(measured.beam)

        # Parts of one number: Doppler shifts of all transmitters, then lengths, then rises.
        values = [measured.doppler, measured.length_m]
        if self.has_rises:
            assert measured.rise is not None
            values.append(measured.rise)
        single = torch.stack(values, 1).flatten(1, 2)

        # Pad each part, [batch, number of parts, numbers of a part, rows, columns].
        shared_parts = self._padded(torch.stack(shared, 1))
        single_parts = self._padded(single[:, :, None])

        # All numbers in one axis, and the cells in another.
        planes = torch.cat([learned, shared_parts.flatten(1, 2), single_parts.flatten(1, 2)], 1)
        return planes.flatten(2).transpose(1, 2)

    def _padded(self, parts: Tensor) -> Tensor:
        """Parts [batch, num, numbers, rows, columns] with zeros up to part_dim numbers."""
        if not self.quantized:
            return parts
        num_zeros = self.part_dim - parts.shape[2]
        zeros = parts.new_zeros(*parts.shape[:2], num_zeros, *parts.shape[3:])
        return torch.cat([parts, zeros], 2)

    def split(self, latents: Tensor, shape: tuple[int, int]) -> tuple[Tensor, StrongestEchoes]:
        """Learned planes and measured echoes of latents; the inverse of join.

        latents: [batch, rows columns, size], float32
        shape: (rows, columns) of the cells
        """
        planes = latents.transpose(1, 2).unflatten(2, shape)

        # Channels of a shared part, and from one single number to the next.
        shared_width = self.part_dim if self.quantized else self.num_tx
        step = self.part_dim if self.quantized else 1

        # Cut into learned, shared and single parts.
        shared_start = self.num_learned * self.part_dim
        single_start = shared_start + self._num_shared * shared_width
        learned, shared, single = planes.tensor_split([shared_start, single_start], 1)

        # Drop the padding.
        power, *beam = shared.unflatten(1, (-1, shared_width))[:, :, : self.num_tx].unbind(1)
        doppler, length_m, *rise = single[:, ::step].chunk(self._num_single, 1)
        return learned, StrongestEchoes(
            power,
            doppler,
            length_m,
            beam[0] if beam else None,
            rise[0] if rise else None,
        )
