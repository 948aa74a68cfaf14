"""Samples as batches of tensors, drawn by worker processes."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from cooperative_isac.learned.network import Network, Truth
from cooperative_isac.scene.model import TargetState
from cooperative_isac.sensing.static_stage import StaticStage
from cooperative_isac.training.cache import SIDE_INFORMATION, Cache
from cooperative_isac.training.samples import Source
from cooperative_isac.waveform.signal import Signal


@dataclass(frozen=True)
class Batch:
    """A batch of samples.

    An access point has neither side information nor truth; a center without its access points has
    no observations.

    numbers: of the samples
    observations: by receiver, [batch, *observation], float32
    side_information: [batch, ...], float32
    """

    numbers: tuple[int, ...]
    observations: Mapping[str, Tensor]
    side_information: Tensor | None = None
    truth: Truth | None = None


class Examples(Dataset):
    """Samples as the inputs of a network.

    receivers: whose observations are computed
    at_center: add side information and truth
    cache: keeps examples on disk
    """

    def __init__(
        self,
        network: Network,
        source: Source,
        receivers: Sequence[str],
        at_center: bool = True,
        cache: Cache | None = None,
    ):
        self.network = network
        self.source = source
        self.receivers = tuple(receivers)
        self.at_center = at_center
        self.cache = cache
        scene = network.scene
        self._static = {name: StaticStage(scene, scene.receiver(name)) for name in receivers}

    @property
    def input_key(self) -> str:
        """Key of the options, beside scene and samples, on which examples depend."""
        return self.network.input_key

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        if self.cache is None:
            return self._compute(index)
        cached = self.cache.read(index)
        if cached is not None:
            return cached
        example = self._compute(index)
        self.cache.write(index, example)

        # In the cache's precision, as every later epoch has it.
        return self.cache.read(index) or example

    def _compute(self, number: int) -> dict[str, np.ndarray]:
        """One example: arrays by the names that they have in a cache."""
        network = self.network
        sample = self.source.sample(number)

        # Inputs of the encoders
        example = {}
        for name in self.receivers:
            echo = self.source.echo(sample, name)
            example[f"observation/{name}"] = self._observation(echo, sample.frame, name)

        # Side information and labels
        if self.at_center:
            example[SIDE_INFORMATION] = network.side_information(sample.frame)
            example["present"], example["state"] = truth_arrays(
                sample.targets, network.config.num_targets, network.scene.dimension
            )
        return example

    def _observation(self, echo: np.ndarray, frame: Signal, receiver: str) -> np.ndarray:
        """The input of one encoder, from an echo without static paths."""
        cleaned = self._static[receiver].clean(echo, frame)
        return self.network.encoder_input(cleaned, frame, receiver)

    def assemble(
        self, numbers: Sequence[int], tensors: Mapping[str, Tensor], device: torch.device
    ) -> Batch:
        """The batch of stacked examples, on a device, in float32."""
        observations = {
            name: tensors[f"observation/{name}"].to(device).float() for name in self.receivers
        }
        if not self.at_center:
            return Batch(tuple(numbers), observations)
        side_information = tensors[SIDE_INFORMATION].to(device).float()
        truth = Truth(tensors["present"].to(device), tensors["state"].to(device))
        return Batch(tuple(numbers), observations, side_information, truth)


class EncodedExamples(Examples):
    """Examples of a network whose encoders keep their weights: observations are their latents."""

    @property
    def input_key(self) -> str:
        """Key of the options and of the encoders' weights, on which examples depend."""
        tensors = self.network.encoders.state_dict().values()
        weights = b"".join(tensor.numpy().tobytes() for tensor in tensors)
        return f"{super().input_key} {zlib.crc32(weights):08x}"

    def _observation(self, echo: np.ndarray, frame: Signal, receiver: str) -> np.ndarray:
        """The latents of one encoder, from an echo without static paths."""
        with torch.no_grad():
            cleaned = self._static[receiver].clean(echo, frame)
            return self.network.encode(cleaned, frame, receiver).numpy()


def truth_arrays(
    targets: Sequence[TargetState], num_targets: int, dimension: int
) -> tuple[np.ndarray, np.ndarray]:
    """Labels of a sample.

    Returns present [num_targets], bool, and state [num_targets, 2 dimension], float32, m and m/s.
    Raises ValueError for more targets than the network detects.
    """
    if len(targets) > num_targets:
        raise ValueError(
            f"a sample has {len(targets)} targets, the network detects {num_targets} at most; "
            "train one for more targets or draw fewer"
        )
    # A row for each target, location then velocity; rows without a target stay zero.
    state = np.zeros((num_targets, 2, dimension), np.float32)
    for row, target in zip(state, targets):
        row[0] = target.position_m[:dimension]
        row[1] = target.velocity_mps[:dimension]
    present = np.arange(num_targets) < len(targets)
    return present, state.reshape(num_targets, -1)


def batches(
    examples: Examples,
    groups: Sequence[Sequence[int] | np.ndarray],
    num_workers: int,
    device: torch.device = torch.device("cpu"),
) -> Iterator[Batch]:
    """Batches of samples in a given order, the same for every number of worker processes.

    groups: numbers of the samples of each batch
    """
    sample_numbers = [[int(number) for number in group] for group in groups]
    loader = DataLoader(
        _ErrorsAsValues(examples),
        batch_sampler=sample_numbers,
        num_workers=num_workers,
        multiprocessing_context="fork" if num_workers else None,
        collate_fn=_stacked,
    )
    for numbers, tensors in zip(sample_numbers, loader):
        if isinstance(tensors, ValueError):
            raise tensors
        yield examples.assemble(numbers, tensors, device)


def epoch_groups(numbers: np.ndarray, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """Numbers of the whole batches of an epoch, shuffled: a function of (seed, epoch).

    numbers: [num_samples], int64
    Returns arrays [batch_size], int64.
    """
    shuffled = np.random.default_rng([seed, epoch]).permutation(numbers)

    # Leave out the samples that make no whole batch.
    num_used = len(shuffled) // batch_size * batch_size
    return list(shuffled[:num_used].reshape(-1, batch_size))


class _ErrorsAsValues(Dataset):
    """Examples that return a ValueError: torch turns one raised in a worker into a traceback."""

    def __init__(self, examples: Examples):
        self._examples = examples

    def __getitem__(self, index: int) -> dict[str, np.ndarray] | ValueError:
        try:
            return self._examples[index]
        except ValueError as error:
            return error


def _stacked(
    examples: Sequence[Mapping[str, np.ndarray] | ValueError],
) -> dict[str, Tensor] | ValueError:
    """Stacked arrays of all examples, or the first error among them."""
    complete = []
    for example in examples:
        if isinstance(example, ValueError):
            return example
        complete.append(example)
    return {
        name: torch.from_numpy(np.stack([example[name] for example in complete]))
        for name in complete[0]
    }
