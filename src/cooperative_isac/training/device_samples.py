"""Raw echoes computed on the training device: worker processes draw paths and symbols alone.

The paths, symbols and precoders are those of training.samples to the bit; the noise is drawn on the
device.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from cooperative_isac.channel.clocks import apparent_paths, link_offsets
from cooperative_isac.channel.echo import (
    clock_jitter,
    migration_phases,
    path_phases,
    with_delay_rates,
)
from cooperative_isac.channel.paths import PathSet
from cooperative_isac.learned.network import Network, Truth
from cooperative_isac.pipeline import paths_to
from cooperative_isac.scene.arrays import steering_vectors
from cooperative_isac.scene.station import Site
from cooperative_isac.training.batches import Batch, Examples, truth_arrays
from cooperative_isac.training.samples import TRAINING_SEED, DrawnSamples, Sample
from cooperative_isac.waveform.qam import constellation

# Bits by which the key of a receiver is shifted in the seed of its noise: it is then above the
# numbers of 2^24 samples, so that each pair of receiver and sample has another seed.
RECEIVER_SHIFT = 24
# Arrays of one receiver's paths in an example; arguments of echoes().
PATH_ARRAYS = ("gains", "over_subcarriers", "over_symbols", "steering")
# The one that scenes with range migration have beside them.
MIGRATION = "migration"


class DeviceExamples(Examples):
    """Examples of a network that takes raw echoes: paths, symbols and precoders of each sample."""

    def __init__(self, network: Network, source: DrawnSamples):
        super().__init__(network, source, network.receivers)
        scene = source.scene
        if scene.is_physical:
            raise ValueError(
                f"scene '{scene.name}' has a static world or the radar equation; echoes "
                "computed on the device have neither: train on a recorded data set (isac dataset), "
                "or without them"
            )
        if scene.propagation.on_own_elements:
            raise ValueError(
                f"scene '{scene.name}' has propagation.interferers, and echoes computed on the "
                "device have none: train on a recorded data set (isac dataset), or without them"
            )
        if scene.sensing.static_paths != "keep":
            raise ValueError(
                f"scene '{scene.name}' has sensing.static_paths "
                f"'{scene.sensing.static_paths}'; echoes computed on the device keep static "
                "paths: train on a recorded data set (isac dataset), or with 'keep'"
            )

        # Largest number of paths of a sample: over each target and scatterer from each transmitter.
        self._modulation_order = scene.waveform.modulation_order
        max_scatterers = (
            source.ranges.scatterers[1]
            if source.ranges.scatterers
            else scene.propagation.clutter.num_scatterers
        )
        max_reflections = network.config.num_targets + max_scatterers
        self.num_paths = len(scene.transmitters) * max_reflections
        self._path_names = PATH_ARRAYS
        if scene.propagation.range_migration:
            self._path_names = (*PATH_ARRAYS, MIGRATION)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        sample = self.source.sample(index)
        scene = self.network.scene

        # Symbols, precoders and paths
        example = {"indices": sample.frame.indices, "precoders": sample.frame.precoders}
        for site in scene.receivers:
            for name, value in _path_arrays(sample, site).items():
                example[f"{site.name}/{name}"] = self._padded(value)

        # Labels
        example["present"], example["state"] = truth_arrays(
            sample.targets, self.network.config.num_targets, scene.dimension
        )
        return example

    def assemble(
        self, numbers: Sequence[int], tensors: Mapping[str, Tensor], device: torch.device
    ) -> Batch:
        """The batch of stacked examples, with the echoes computed on the device."""
        # Symbols
        tensors = {name: tensor.to(device) for name, tensor in tensors.items()}
        points = torch.from_numpy(constellation(self._modulation_order)).to(device)
        streams = points[tensors["indices"].long()]

        # Echoes with noise
        observations = {}
        for name in self.receivers:
            paths = {part: tensors[f"{name}/{part}"] for part in self._path_names}
            echo = echoes(streams, **paths) + self._noise(numbers, name, device)
            observations[name] = torch.stack([echo.real, echo.imag], dim=1)

        # Side information and truth
        side_information = transmit_tensors(streams, tensors["precoders"])
        truth = Truth(tensors["present"], tensors["state"])
        return Batch(tuple(numbers), observations, side_information, truth)

    def _padded(self, values: np.ndarray) -> np.ndarray:
        """Values of paths with zeros up to num_paths, so that all samples have the same shape.

        values: [number of paths, ...], complex64
        Returns [num_paths, ...], complex64.
        """
        padded = np.zeros((self.num_paths, *values.shape[1:]), np.complex64)
        padded[: len(values)] = values
        return padded

    def _noise(self, numbers: Sequence[int], receiver: str, device: torch.device) -> Tensor:
        """Noise of unit power, a function of the sample's number and the receiver.

        Returns [batch, num_rx_ant, num_subcarriers, num_symbols], complex64.
        """
        scene = self.network.scene
        receiver_key = zlib.crc32(receiver.encode())
        num_ant = scene.receiver(receiver).num_ant
        shape = (num_ant, scene.grid.num_subcarriers, scene.grid.num_symbols)

        # Complex normal numbers of variance 1, sample by sample.
        rows = []
        for number in numbers:
            seed = TRAINING_SEED ^ (receiver_key << RECEIVER_SHIFT) ^ number
            generator = torch.Generator(device).manual_seed(seed)
            rows.append(
                torch.randn(shape, dtype=torch.complex64, generator=generator, device=device)
            )
        return torch.stack(rows)


def echoes(
    streams: Tensor,
    gains: Tensor,
    over_subcarriers: Tensor,
    over_symbols: Tensor,
    steering: Tensor,
    migration: Tensor | None = None,
) -> Tensor:
    """Noiseless echoes (CF eq. 6).

    streams: [batch, num_subcarriers, num_streams, num_symbols], complex64
    gains: [batch, num_paths, num_groups, num_streams], complex64, amplitude times a_t^T W
    over_subcarriers: [batch, num_paths, num_subcarriers], complex64, phases of delays
    over_symbols: [batch, num_paths, num_symbols], complex64, phases of Doppler shifts
    steering: [batch, num_paths, num_rx_ant], complex64
    migration: [batch, num_paths, num_subcarriers, num_symbols], complex64, phases of the change of
    delays within the frame; None: delays are constant
    Returns [batch, num_rx_ant, num_subcarriers, num_symbols], complex64.
    """
    # Weights of the streams in each path, on each subcarrier.
    group_size = over_subcarriers.shape[2] // gains.shape[2]
    weights = gains.repeat_interleave(group_size, dim=2) * over_subcarriers[..., None]

    # Signal of each path, [batch, num_subcarriers, num_paths, num_symbols].
    signals = weights.transpose(1, 2) @ streams * over_symbols[:, None]
    if migration is not None:
        signals = signals * migration.transpose(1, 2)

    # Sum over paths at each antenna. Axes: b sample, p path, m antenna, n subcarrier, t symbol.
    return torch.einsum("bpm,bnpt->bmnt", steering, signals)


def transmit_tensors(streams: Tensor, precoders: Tensor) -> Tensor:
    """Transmit signals of a batch, as learned.inputs.transmit_tensor.

    streams: [batch, num_subcarriers, num_streams, num_symbols], complex64
    precoders: [batch, num_groups, num_tx_ant, num_streams], complex64
    Returns [batch, 2, num_tx_ant, num_subcarriers, num_symbols], float32.
    """
    # Signal of each antenna; the subcarriers of a group have its precoder.
    group_size = streams.shape[1] // precoders.shape[1]
    weights = precoders.repeat_interleave(group_size, dim=1)
    signal = (weights @ streams).transpose(1, 2)
    parts = torch.stack([signal.real, signal.imag], dim=1)

    # Unit power of each sample: that of a complex number is twice the mean square of its parts.
    power = 2 * parts.square().mean(dim=(1, 2, 3, 4), keepdim=True)
    return parts / power.sqrt()


def _path_arrays(sample: Sample, site: Site) -> dict[str, np.ndarray]:
    """Arguments of echoes() for the paths to one receiver, in units of the noise."""
    # Paths at the start of the scene, with the offsets of the clocks.
    scene = sample.scene
    frame = sample.frame
    paths, generator = paths_to(scene, sample.number, site, sample.targets)
    paths = with_delay_rates(scene, paths)
    paths = apparent_paths(paths, link_offsets(scene, site, time_s=0.0))

    # Phases over subcarriers and symbols.
    over_subcarriers, over_symbols = path_phases(frame.grid, paths.delay_s, paths.doppler_hz)
    jitter = clock_jitter(scene, frame.grid, site, generator)
    if jitter is not None:
        over_symbols = over_symbols * jitter[paths.transmitter]

    # Gains, and steering with antennas in the reverse order of the networks (learned.inputs).
    amplitude = paths.amplitude * scene.propagation.noise_power_w**-0.5
    arrays = {
        "gains": amplitude[:, None, None] * _stream_gains(sample, paths),
        "over_subcarriers": over_subcarriers.T,
        "over_symbols": over_symbols,
        "steering": steering_vectors(site.elements_m[::-1], paths.aoa, scene.grid.wavelength_m),
    }
    if paths.delay_rate is not None:
        phases = migration_phases(frame.grid, paths.delay_rate)
        arrays[MIGRATION] = phases.swapaxes(0, 1)
    return arrays


def _stream_gains(sample: Sample, paths: PathSet) -> np.ndarray:
    """a_t^T W of every path, [num_paths, num_groups, num_streams], complex64."""
    scene = sample.scene
    frame = sample.frame
    num_groups, _, num_streams = frame.precoders.shape
    gains = np.empty((len(paths.delay_s), num_groups, num_streams), np.complex64)
    for index, site in enumerate(scene.transmitters):
        chosen = paths.transmitter == index
        steering = steering_vectors(site.elements_m, paths.aod[chosen], scene.grid.wavelength_m)
        gains[chosen] = frame.stream_gains(index, steering).transpose(1, 0, 2)
    return gains
