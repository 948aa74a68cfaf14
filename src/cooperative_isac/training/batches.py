"""Samples as batches of tensors, drawn by worker processes, with a cache of observations on
disk.
"""

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
from cooperative_isac.training.cache import Cache
from cooperative_isac.training.samples import Source
from cooperative_isac.waveform.signal import Signal


@dataclass(frozen=True)
class Batch:
    """numbers: of the samples; observations: by receiver, [batch, ...]; knowledge: [batch, ...].

    An access point has neither knowledge nor truth, a center without its access points no
    observations.
    """

    numbers: tuple[int, ...]
    observations: Mapping[str, Tensor]
    side_information: Tensor | None = None
    truth: Truth | None = None


class Examples(Dataset):
    """Samples as a network takes them; receivers: whose echoes are observed; at_center: and
    truth.
    """

    def __init__(
        self,
        network: Network,
        source: Source,
        receivers: Sequence[str],
        at_center: bool = True,
        cache: Cache | None = None,
    ):
        self.network, self.source, self.receivers = network, source, tuple(receivers)
        self.at_center, self.cache = at_center, cache
        self._static = StaticStage(network.scene)

    @property
    def input_key(self) -> str:
        """What examples depend on beside scene and samples."""
        return self.network.input_key

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        known = self.cache.read(index) if self.cache else None
        if known is not None:
            return known
        example = self._drawn(index)
        if self.cache:
            # As all later readings have it, with fewer digits.
            self.cache.write(index, example)
            return self.cache.read(index) or example
        return example

    def _drawn(self, number: int) -> dict[str, np.ndarray]:
        sample, network = self.source.sample(number), self.network
        example = {}
        for name in self.receivers:
            echo = self.source.echo(sample, name)
            example[f"observation/{name}"] = self._observed(echo, sample.frame, name)
        if self.at_center:
            example["knowledge"] = network.side_information(sample.frame)
            example["present"], example["state"] = truth_arrays(
                sample.targets, network.config.num_targets, network.scene.dimension
            )
        return example

    def _observed(self, echo: np.ndarray, frame: Signal, receiver: str) -> np.ndarray:
        return self.network.encoder_input(self._static.clean(echo, frame), frame, receiver)

    def assemble(
        self, numbers: Sequence[int], tensors: Mapping[str, Tensor], device: torch.device
    ) -> Batch:
        """The batch of stacked examples, on a device, float32."""
        observations = {
            name: tensors[f"observation/{name}"].to(device).float() for name in self.receivers
        }
        if not self.at_center:
            return Batch(tuple(numbers), observations)
        truth = Truth(tensors["present"].to(device), tensors["state"].to(device))
        return Batch(tuple(numbers), observations, tensors["knowledge"].to(device).float(), truth)


class EncodedExamples(Examples):
    """Examples of a network whose encoders are held: what they make of an echo is observed."""

    @property
    def input_key(self) -> str:
        """Also what the encoders are."""
        tensors = self.network.encoders.state_dict().values()
        return (
            f"{super().input_key} "
            f"{zlib.crc32(b''.join(tensor.numpy().tobytes() for tensor in tensors)):08x}"
        )

    def _observed(self, echo: np.ndarray, frame: Signal, receiver: str) -> np.ndarray:
        with torch.no_grad():
            return self.network.encode(self._static.clean(echo, frame), frame, receiver).numpy()


def truth_arrays(
    targets: Sequence[TargetState], num_targets: int, dimension: int
) -> tuple[np.ndarray, np.ndarray]:
    """Labels of a sample: present [num_targets], bool; state [num_targets, 2 dimension],
    float32.
    """
    if len(targets) > num_targets:
        raise ValueError(
            f"a sample has {len(targets)} targets, the network tells {num_targets} at most; "
            "train one for more targets or draw fewer"
        )
    state = np.zeros((num_targets, 2, dimension), np.float32)
    for row, target in zip(state, targets):
        row[0], row[1] = target.position_m[:dimension], target.velocity_mps[:dimension]
    return np.arange(num_targets) < len(targets), state.reshape(num_targets, -1)


def batches(
    examples: Examples,
    groups: Sequence[Sequence[int] | np.ndarray],
    num_workers: int,
    device: torch.device = torch.device("cpu"),
) -> Iterator[Batch]:
    """Batches of the samples with these numbers, in this order, whatever the number of worker
    processes.
    """
    listed = [[int(number) for number in group] for group in groups]
    context = "fork" if num_workers else None
    loader = DataLoader(
        _ErrorsAsValues(examples),
        batch_sampler=listed,
        num_workers=num_workers,
        multiprocessing_context=context,
        collate_fn=_stacked,
    )
    for group, tensors in zip(listed, loader):
        if isinstance(tensors, ValueError):
            raise tensors
        yield examples.assemble(group, tensors, device)


def epoch_groups(numbers: np.ndarray, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """Numbers of one epoch's whole batches, shuffled: a function of (seed, epoch)."""
    shuffled = np.random.default_rng([seed, epoch]).permutation(numbers)
    whole = len(shuffled) // batch_size * batch_size
    return list(shuffled[:whole].reshape(-1, batch_size))


class _ErrorsAsValues(Dataset):
    """Examples of which a fault is returned: torch wraps what a worker process raises in a
    traceback.
    """

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
    whole = []
    for example in examples:
        if isinstance(example, ValueError):
            return example
        whole.append(example)
    return {
        name: torch.from_numpy(np.stack([example[name] for example in whole])) for name in whole[0]
    }
