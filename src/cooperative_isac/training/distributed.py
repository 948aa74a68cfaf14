"""CF Algorithm 1 over torch.distributed: the center is rank 0, each access point one further
process.

    torchrun --nproc-per-node 3 -m cooperative_isac.cli train SCENE --scheme dvqvae

The center says which samples come next; latents and gradients travel in every step. Parameters
travel at the
beginning and where they are kept: with every better epoch, and with the optimizer's state in every
checkpoint.
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

CENTER = 0


class Command(IntEnum):
    """What the center asks of an access point; each is followed by its arguments."""

    END, TRAIN, ENCODE, LEARN, REPORT, GIVE_STATE, TAKE_STATE = range(7)


def is_distributed() -> bool:
    """Whether torchrun started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def join(num_receivers: int) -> int:
    """Meet the other processes; the rank of this one. ValueError when their number does not fit the
    scene.
    """
    dist.init_process_group("gloo")
    if dist.get_world_size() != num_receivers + 1:
        raise ValueError(
            f"{dist.get_world_size()} processes were started; the scene needs one for the "
            f"center and one per receiver (torchrun --nproc-per-node {num_receivers + 1})"
        )
    return dist.get_rank()


class RemoteAccessPoint:
    """An access point in another process, as the center sees it
    (training.algorithm.AccessPoint).
    """

    def __init__(self, name: str, rank: int, latent_shape: tuple[int, int]):
        self.name, self.rank, self.latent_shape = name, rank, latent_shape
        self._batch_size = 0

    def begin(self, network: Network) -> None:
        """Send the initial parameters of its encoder and codebook (CF section IV-B, step 1)."""
        codebook = network.codebook(self.name)
        state = {
            "encoder": network.encoders[self.name].state_dict(),
            "codebook": codebook.state_dict() if codebook else {},
        }
        dist.send_object_list([state], self.rank)

    def load_batch(self, batch: Batch, training: bool) -> None:
        """Begin to work on a batch; see AccessPoint.take."""
        self._batch_size = len(batch.numbers)
        self._ask(Command.TRAIN if training else Command.ENCODE, self._batch_size)
        dist.send(torch.tensor(batch.numbers), self.rank)

    def latents(self) -> Tensor:
        """Latents of that batch; see AccessPoint.latents."""
        latents = torch.empty(self._batch_size, *self.latent_shape)
        dist.recv(latents, self.rank)
        return latents

    def update(self, gradient: Tensor, learning_rate: float) -> None:
        """Send the gradient of what was sent; see AccessPoint.learn."""
        self._ask(Command.LEARN)
        dist.send(torch.tensor(learning_rate, dtype=torch.float64), self.rank)
        dist.send(gradient.contiguous(), self.rank)

    def report(self) -> dict[str, float]:
        """Figures of the last training step; see AccessPoint.report."""
        self._ask(Command.REPORT)
        return _receive(self.rank)

    def export(self, network: Network) -> None:
        """Put encoder and codebook into a network; see AccessPoint.hand_over."""
        state = self.state_dict()
        network.encoders[self.name].load_state_dict(state["encoder"])
        if network.codebook(self.name):
            network.codebooks[self.name].load_state_dict(state["codebook"])

    def state_dict(self) -> dict:
        """All that goes on with training after an interruption."""
        self._ask(Command.GIVE_STATE)
        return _receive(self.rank)

    def load_state_dict(self, state: dict) -> None:
        """Go on from a state."""
        self._ask(Command.TAKE_STATE)
        dist.send_object_list([state], self.rank)

    def end(self) -> None:
        """Let the process go."""
        self._ask(Command.END)

    def _ask(self, command: Command, argument: int = 0) -> None:
        dist.send(torch.tensor([int(command), argument]), self.rank)


def serve(access_point: LocalAccessPoint, examples: Examples) -> None:
    """Be an access point until the center says that it is the end."""
    access_point.begin(_receive(CENTER))
    sent = torch.empty(0)
    while (request := _receive_request())[0] is not Command.END:
        command, batch_size = request
        if command in (Command.TRAIN, Command.ENCODE):
            sent = _encode(access_point, examples, batch_size, command is Command.TRAIN)
        elif command is Command.LEARN:
            _learn(access_point, sent)
        elif command is Command.TAKE_STATE:
            access_point.load_state_dict(_receive(CENTER))
        else:
            state = (
                access_point.report() if command is Command.REPORT else access_point.state_dict()
            )
            dist.send_object_list([state], CENTER)


def _receive_request() -> tuple[Command, int]:
    request = torch.empty(2, dtype=torch.int64)
    dist.recv(request, CENTER)
    return Command(int(request[0])), int(request[1])


def _encode(
    access_point: LocalAccessPoint, examples: Examples, batch_size: int, training: bool
) -> Tensor:
    numbers = torch.empty(batch_size, dtype=torch.int64)
    dist.recv(numbers, CENTER)
    batch = next(batches(examples, [numbers.tolist()], num_workers=0))
    access_point.load_batch(batch, training)
    latents = access_point.latents().contiguous()
    dist.send(latents, CENTER)
    return latents


def _learn(access_point: LocalAccessPoint, sent: Tensor) -> None:
    learning_rate, gradient = torch.empty((), dtype=torch.float64), torch.empty_like(sent)
    dist.recv(learning_rate, CENTER)
    dist.recv(gradient, CENTER)
    access_point.update(gradient, float(learning_rate))


def _receive(rank: int) -> dict:
    received: list = [None]
    dist.recv_object_list(received, rank)
    return received[0]
