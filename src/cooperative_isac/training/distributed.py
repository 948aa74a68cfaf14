"""CF Algorithm 1 over torch.distributed: the center is rank 0, each access point a further process.

    torchrun --nproc-per-node 3 -m cooperative_isac.cli train SCENE --scheme dvqvae

The center sends the numbers of the next samples; latents and gradients travel in every step.
Parameters travel at the beginning, with every better epoch and, together with the state of the
optimizer, in every checkpoint.
"""

from __future__ import annotations

import os
from enum import IntEnum

import torch
import torch.distributed as dist
from torch import Tensor

from cooperative_isac.learned.network import Network
from cooperative_isac.training.algorithm import LocalAccessPoint
from cooperative_isac.training.batches import Batch, Examples, batches

# Rank of the center; access point i has rank 1 + i.
CENTER = 0


class Command(IntEnum):
    """Requests of the center to an access point, each followed by its arguments."""

    END = 0
    TRAIN = 1
    ENCODE = 2
    UPDATE = 3
    REPORT = 4
    SAVE_STATE = 5
    LOAD_STATE = 6


def is_distributed() -> bool:
    """True where torchrun started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def join(num_receivers: int) -> int:
    """Join the process group; returns the rank of this process.

    Raises ValueError where the number of processes does not fit the scene.
    """
    dist.init_process_group("gloo")
    num_processes = dist.get_world_size()
    if num_processes != num_receivers + 1:
        raise ValueError(
            f"{num_processes} processes were started; the scene needs one for the "
            f"center and one per receiver (torchrun --nproc-per-node {num_receivers + 1})"
        )
    return dist.get_rank()


class RemoteAccessPoint:
    """An access point in another process, as the center uses it (algorithm.AccessPoint)."""

    def __init__(self, name: str, rank: int, latent_shape: tuple[int, int]):
        self.name = name
        self.rank = rank
        self.latent_shape = latent_shape
        self._batch_size = 0

    def initialize(self, network: Network) -> None:
        """Send the initial parameters of its encoder and codebook (CF section IV-B, step 1)."""
        codebook = network.codebook(self.name)
        state = {
            "encoder": network.encoders[self.name].state_dict(),
            "codebook": codebook.state_dict() if codebook else {},
        }
        dist.send_object_list([state], self.rank)

    def load_batch(self, batch: Batch, training: bool) -> None:
        """Send the numbers of a batch; see AccessPoint.load_batch."""
        self._batch_size = len(batch.numbers)
        self._request(Command.TRAIN if training else Command.ENCODE, self._batch_size)
        dist.send(torch.tensor(batch.numbers), self.rank)

    def latents(self) -> Tensor:
        """Receive the latents of that batch; see AccessPoint.latents."""
        latents = torch.empty(self._batch_size, *self.latent_shape)
        dist.recv(latents, self.rank)
        return latents

    def update(self, gradient: Tensor, learning_rate: float) -> None:
        """Send the gradient of the latents; see AccessPoint.update."""
        self._request(Command.UPDATE)
        dist.send(torch.tensor(learning_rate, dtype=torch.float64), self.rank)
        dist.send(gradient.contiguous(), self.rank)

    def report(self) -> dict[str, float]:
        """Figures of the last training step; see AccessPoint.report."""
        self._request(Command.REPORT)
        return _receive(self.rank)

    def export(self, network: Network) -> None:
        """Copy encoder and codebook into a network; see AccessPoint.export."""
        state = self.state_dict()
        network.encoders[self.name].load_state_dict(state["encoder"])
        if network.codebook(self.name):
            network.codebooks[self.name].load_state_dict(state["codebook"])

    def state_dict(self) -> dict:
        """State from which training continues; see AccessPoint.state_dict."""
        self._request(Command.SAVE_STATE)
        return _receive(self.rank)

    def load_state_dict(self, state: dict) -> None:
        """Continue from a state; see AccessPoint.load_state_dict."""
        self._request(Command.LOAD_STATE)
        dist.send_object_list([state], self.rank)

    def end(self) -> None:
        """End the process."""
        self._request(Command.END)

    def _request(self, command: Command, argument: int = 0) -> None:
        dist.send(torch.tensor([int(command), argument]), self.rank)


def serve(access_point: LocalAccessPoint, examples: Examples) -> None:
    """Serve the requests of the center as an access point, until it ends the process."""
    access_point.initialize(_receive(CENTER))
    latents = torch.empty(0)
    while True:
        command, batch_size = _receive_request()
        match command:
            case Command.END:
                return
            case Command.TRAIN | Command.ENCODE:
                is_training = command is Command.TRAIN
                latents = _encode(access_point, examples, batch_size, is_training)
            case Command.UPDATE:
                _update(access_point, latents)
            case Command.REPORT:
                dist.send_object_list([access_point.report()], CENTER)
            case Command.SAVE_STATE:
                dist.send_object_list([access_point.state_dict()], CENTER)
            case Command.LOAD_STATE:
                access_point.load_state_dict(_receive(CENTER))


def _receive_request() -> tuple[Command, int]:
    """The next request and its argument, a batch size or 0."""
    request = torch.empty(2, dtype=torch.int64)
    dist.recv(request, CENTER)
    return Command(int(request[0])), int(request[1])


def _encode(
    access_point: LocalAccessPoint, examples: Examples, batch_size: int, training: bool
) -> Tensor:
    """Receive the numbers of a batch, and send its latents [batch, L, D]."""
    numbers = torch.empty(batch_size, dtype=torch.int64)
    dist.recv(numbers, CENTER)
    batch = next(batches(examples, [numbers.tolist()], num_workers=0))
    access_point.load_batch(batch, training)
    latents = access_point.latents().contiguous()
    dist.send(latents, CENTER)
    return latents


def _update(access_point: LocalAccessPoint, latents: Tensor) -> None:
    """Receive the gradient of the latents that were sent, and update the encoder."""
    learning_rate = torch.empty((), dtype=torch.float64)
    gradient = torch.empty_like(latents)
    dist.recv(learning_rate, CENTER)
    dist.recv(gradient, CENTER)
    access_point.update(gradient, float(learning_rate))


def _receive(rank: int) -> dict:
    """An object from another process."""
    received: list = [None]
    dist.recv_object_list(received, rank)
    return received[0]
