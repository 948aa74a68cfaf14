"""Raw echoes computed where the network trains: worker processes draw only paths and symbols, a few
kilobytes.

The paths, symbols and precoders are those of training.samples to the bit; the noise is the device's
own.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from cooperative_isac.channel.clocks import apparent_paths, link_offsets
from cooperative_isac.channel.echo import clock_jitter, path_phases
from cooperative_isac.channel.paths import PathSet
from cooperative_isac.learned.network import Network, Truth
from cooperative_isac.pipeline import paths_to
from cooperative_isac.scene.arrays import steering_vectors
from cooperative_isac.scene.model import Site
from cooperative_isac.training.batches import Batch, Examples, truth_arrays
from cooperative_isac.training.samples import TRAINING_SEED, DrawnSamples, Sample
from cooperative_isac.waveform.qam import constellation


class DeviceExamples(Examples):
    """Examples of a network that takes raw echoes, in the form of their ingredients."""

    def __init__(self, network: Network, source: DrawnSamples):
        super().__init__(network, source, network.receivers)
        if source.scene.is_physical:
            raise ValueError(
                f"scene '{source.scene.name}' has a static world or the radar equation; echoes "
                "computed on the device have neither: train on a recorded data set (isac dataset), "
                "or without them"
            )
        if source.scene.sensing.static_paths != "keep":
            raise ValueError(
                f"scene '{source.scene.name}' has sensing.static_paths "
                f"'{source.scene.sensing.static_paths}'; echoes computed on the device keep static "
                "paths: train on a recorded data set (isac dataset), or with 'keep'"
            )
        self._modulation_order = source.scene.waveform.modulation_order
        most = (
            source.ranges.scatterers[1]
            if source.ranges.scatterers
            else source.scene.propagation.clutter.num_scatterers
        )
        self.num_paths = len(source.scene.transmitters) * (network.config.num_targets + most)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        sample, scene = self.source.sample(index), self.network.scene
        example = {"indices": sample.frame.indices, "precoders": sample.frame.precoders}
        for site in scene.receivers:
            example |= {
                f"{site.name}/{name}": self._padded(value)
                for name, value in _path_arrays(sample, site).items()
            }
        example["present"], example["state"] = truth_arrays(
            sample.targets, self.network.config.num_targets, scene.dimension
        )
        return example

    def assemble(
        self, numbers: Sequence[int], tensors: Mapping[str, Tensor], device: torch.device
    ) -> Batch:
        """The batch of stacked ingredients, with the echoes computed on the device."""
        tensors = {name: tensor.to(device) for name, tensor in tensors.items()}
        streams = torch.from_numpy(constellation(self._modulation_order)).to(device)[
            tensors["indices"].long()
        ]
        observations = {}
        for name in self.receivers:
            parts = {
                part: tensors[f"{name}/{part}"]
                for part in ("gains", "over_subcarriers", "over_symbols", "steering")
            }
            echo = echoes(streams, **parts) + self._noise(numbers, name, device)
            observations[name] = torch.stack([echo.real, echo.imag], dim=1)
        side_information = transmit_tensors(streams, tensors["precoders"])
        return Batch(
            tuple(numbers),
            observations,
            side_information,
            Truth(tensors["present"], tensors["state"]),
        )

    def _padded(self, values: np.ndarray) -> np.ndarray:
        """Paths of no amplitude make their number the same in all samples: [num_paths, ...]."""
        padded = np.zeros((self.num_paths, *values.shape[1:]), np.complex64)
        padded[: len(values)] = values
        return padded

    def _noise(self, numbers: Sequence[int], receiver: str, device: torch.device) -> Tensor:
        scene, who, rows = self.network.scene, zlib.crc32(receiver.encode()), []
        shape = scene.receiver(receiver).num_ant, scene.grid.num_subcarriers, scene.grid.num_symbols
        for number in numbers:
            generator = torch.Generator(device).manual_seed(TRAINING_SEED ^ (who << 24) ^ number)
            rows.append(
                torch.randn(shape, dtype=torch.complex64, generator=generator, device=device)
            )
        return torch.stack(rows)


def echoes(
    streams: Tensor, gains: Tensor, over_subcarriers: Tensor, over_symbols: Tensor, steering: Tensor
) -> Tensor:
    """Noiseless echoes of CF eq. 6, [batch, num_rx_ant, num_subcarriers, num_symbols], complex64.

    streams: [batch, num_subcarriers, num_streams, num_symbols]; gains: [batch, num_paths,
    num_groups, num_streams], amplitude times a_t^T W; over_subcarriers: [batch, num_paths,
    num_subcarriers];
    over_symbols: [batch, num_paths, num_symbols]; steering: [batch, num_paths, num_rx_ant].
    """
    weights = (
        gains.repeat_interleave(over_subcarriers.shape[2] // gains.shape[2], dim=2)
        * over_subcarriers[..., None]
    )
    signals = weights.transpose(1, 2) @ streams * over_symbols[:, None]
    return torch.einsum("bpm,bnpt->bmnt", steering, signals)


def transmit_tensors(streams: Tensor, precoders: Tensor) -> Tensor:
    """fronthaul.learned.inputs.transmit_tensor of a batch.

    streams: as in echoes; precoders: [batch, num_groups, num_tx_ant, num_streams].
    """
    weights = precoders.repeat_interleave(streams.shape[1] // precoders.shape[1], dim=1)
    signal = (weights @ streams).transpose(1, 2)
    signal = torch.stack([signal.real, signal.imag], dim=1)
    return signal / (2 * signal.square().mean(dim=(1, 2, 3, 4), keepdim=True)).sqrt()


def _path_arrays(sample: Sample, site: Site) -> dict[str, np.ndarray]:
    """What `echoes` takes of one receiver's paths, in units of the noise."""
    scene, frame = sample.scene, sample.frame
    paths, generator = paths_to(scene, sample.number, site, sample.targets)
    paths = apparent_paths(paths, link_offsets(scene, site, 0.0))
    over_subcarriers, over_symbols = path_phases(frame.grid, paths.delay_s, paths.doppler_hz)
    jitter = clock_jitter(scene, frame.grid, site, generator)
    if jitter is not None:
        over_symbols = over_symbols * jitter[paths.transmitter]
    amplitude = paths.amplitude * scene.propagation.noise_power_w**-0.5
    return {
        "gains": amplitude[:, None, None] * _stream_gains(sample, paths),
        "over_subcarriers": over_subcarriers.T,
        "over_symbols": over_symbols,
        "steering": steering_vectors(site.elements_m[::-1], paths.aoa, scene.grid.wavelength_m),
    }


def _stream_gains(sample: Sample, paths: PathSet) -> np.ndarray:
    """a_t^T W of every path, [num_paths, num_groups, num_streams]."""
    scene, frame = sample.scene, sample.frame
    gains = np.empty(
        (len(paths.delay_s), len(frame.precoders), frame.precoders.shape[2]), np.complex64
    )
    for index, site in enumerate(scene.transmitters):
        chosen = paths.transmitter == index
        steering = steering_vectors(site.elements_m, paths.aod[chosen], scene.grid.wavelength_m)
        gains[chosen] = frame.stream_gains(index, steering).transpose(1, 0, 2)
    return gains
