"""CF Algorithm 1: access points and center exchange latents and their gradients, nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from cooperative_isac.learned.network import Network, Predictions
from cooperative_isac.learned.quantizer import Codebook, commitment, perplexity
from cooperative_isac.training.batches import Batch


@dataclass(frozen=True)
class Optimization:
    """How one side learns.

    commitment_weight: omega of CF eq. 21, for the mean squared distance;
    clip: largest norm of a side's gradient (0: any); precision: float32 | bfloat16.
    """

    commitment_weight: float = 0.25
    clip: float = 0.0
    weight_decay: float = 0.0
    precision: str = "float32"


class AccessPoint(Protocol):
    """One receiver as the center sees it: here, or in another process."""

    def load_batch(self, batch: Batch, training: bool) -> None:
        """Begin to work on a batch."""

    def latents(self) -> Tensor:
        """Latents of that batch as the fronthaul carries them, [batch, L, D] (lines 7-9 of
        Algorithm 1).

        In training the codebook follows them (line 10).
        """

    def update(self, gradient: Tensor, learning_rate: float) -> None:
        """Take the gradient of what was sent, [batch, L, D], and update the encoder (line 16)."""

    def report(self) -> dict[str, float]:
        """Figures of the last training step: commitment, perplexity."""

    def export(self, network: Network) -> None:
        """Put the encoder and codebook as they are now into a network at the center."""

    def state_dict(self) -> dict:
        """All that goes on with training after an interruption."""

    def load_state_dict(self, state: dict) -> None:
        """Go on from a state."""


class LocalAccessPoint:
    """A receiver with its encoder, codebook and optimizer in this process."""

    def __init__(
        self,
        name: str,
        encoder: nn.Module,
        codebook: Codebook | None,
        optimization: Optimization,
        seed: int,
    ):
        self.name, self.encoder, self.codebook, self.optimization = (
            name,
            encoder,
            codebook,
            optimization,
        )
        self.optimizer = adam(encoder, optimization)
        self.generator = torch.Generator().manual_seed(seed)
        self._report: dict[str, float] = {}

    def begin(self, parameters: dict) -> None:
        """Take the initial parameters of encoder and codebook from the center (CF section IV-B,
        step 1).
        """
        self.encoder.load_state_dict(parameters["encoder"])
        if self.codebook:
            self.codebook.load_state_dict(parameters["codebook"])

    def load_batch(self, batch: Batch, training: bool) -> None:
        """Begin to work on a batch; see AccessPoint.take."""
        self._observations, self._training = batch.observations[self.name], training

    def latents(self) -> Tensor:
        """Latents of that batch; see AccessPoint.latents."""
        if self._training:
            return self._to_train()
        with torch.no_grad():
            latents = self._encoded()
            return (
                self.codebook.lookup(self.codebook.nearest(latents)) if self.codebook else latents
            )

    def _to_train(self) -> Tensor:
        self._latents = self._encoded()
        if self.codebook is None:
            return self._latents.detach()
        indices = self.codebook.nearest(self._latents)
        codewords = self.codebook.lookup(indices)
        self._commitment = self.optimization.commitment_weight * commitment(
            self._latents, codewords
        )
        self._report = {
            "commitment": float(self._commitment.detach()),
            "perplexity": perplexity(indices, self.codebook.config.size),
        }
        self.codebook.update(self._latents.detach(), indices, self.generator)
        return codewords

    def update(self, gradient: Tensor, learning_rate: float) -> None:
        """The gradient of the codewords is taken for that of the latents: the straight-through
        estimator.
        """
        self.optimizer.zero_grad()
        if self._latents.requires_grad:
            if self.codebook is None:
                self._latents.backward(gradient)
            else:
                torch.autograd.backward([self._latents, self._commitment], [gradient, None])
            step(self.optimizer, self.encoder, learning_rate, self.optimization)

    def report(self) -> dict[str, float]:
        """Figures of the last training step; see AccessPoint.report."""
        return self._report

    def export(self, network: Network) -> None:
        """Put encoder and codebook into a network; see AccessPoint.hand_over."""
        if network.encoders[self.name] is not self.encoder:
            network.encoders[self.name].load_state_dict(self.encoder.state_dict())
            if self.codebook:
                network.codebooks[self.name].load_state_dict(self.codebook.state_dict())

    def _encoded(self) -> Tensor:
        with autocast(self._observations.device, self.optimization):
            return self.encoder(self._observations).float()

    def state_dict(self) -> dict:
        """All that goes on with training after an interruption."""
        codebook = self.codebook.state_dict() if self.codebook else {}
        return {
            "encoder": self.encoder.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "codebook": codebook,
            "random": self.generator.get_state(),
        }

    def load_state_dict(self, state: dict) -> None:
        """Go on from a state."""
        self.encoder.load_state_dict(state["encoder"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["random"])
        if self.codebook:
            self.codebook.load_state_dict(state["codebook"])


class HeldAccessPoint(LocalAccessPoint):
    """A receiver whose encoder is held as it is: what it observes are latents, and only its
    codebook learns.
    """

    def __init__(self, name: str, codebook: Codebook | None, optimization: Optimization, seed: int):
        super().__init__(name, nn.Identity(), codebook, optimization, seed)

    def export(self, network: Network) -> None:
        """Nothing: the network has the encoder, and the codebook is its own."""


class Center:
    """The decoder with its optimizer; truth and transmit signal are here alone."""

    def __init__(self, network: Network, optimization: Optimization):
        self.network, self.optimization = network, optimization
        self.optimizer = adam(network.center, optimization)

    def update(
        self, latents: Tensor, heard: Tensor, batch: Batch, learning_rate: float
    ) -> tuple[float, Tensor]:
        """One training step (lines 12-14): the loss, and its gradient [batch, M, L, D] for the
        access points.

        latents: [batch, M, L, D]; heard: [batch, M], zero for a receiver that is left out.
        """
        assert batch.truth is not None  # the center has it
        latents = latents.requires_grad_()
        self.optimizer.zero_grad()
        with autocast(latents.device, self.optimization):
            output = self.network.center(
                latents * heard[:, :, None, None], heard, batch.side_information
            )
            loss = self.network.loss(output, batch.truth)
        loss.backward()
        step(self.optimizer, self.network.center, learning_rate, self.optimization)
        assert latents.grad is not None  # the loss depends on them
        return float(loss.detach()), latents.grad

    def evaluate(self, latents: Tensor, batch: Batch) -> tuple[float, Predictions]:
        """Loss of a batch, and what was found in it, without learning."""
        assert batch.truth is not None  # the center has it
        heard = torch.ones(latents.shape[:2], device=latents.device)
        with torch.no_grad(), autocast(latents.device, self.optimization):
            output = self.network.center(latents, heard, batch.side_information)
            return float(self.network.loss(output, batch.truth)), self.network.decode(output)

    def state_dict(self) -> dict:
        """All that goes on with training after an interruption."""
        return {
            "center": self.network.center.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def load_state_dict(self, state: dict) -> None:
        """Go on from a state."""
        self.network.center.load_state_dict(state["center"])
        self.optimizer.load_state_dict(state["optimizer"])


def train_step(
    access_points: Sequence[AccessPoint],
    center: Center,
    batch: Batch,
    heard: Tensor,
    learning_rate: float,
) -> float:
    """One step of Algorithm 1 (lines 5-17); returns the estimation loss. heard: as in
    Center.learn.
    """
    latents = all_latents(access_points, batch, training=True)
    loss, gradients = center.update(latents, heard, batch, learning_rate)
    for access_point, gradient in zip(access_points, gradients.unbind(1)):
        access_point.update(gradient, learning_rate)
    return loss


def all_latents(access_points: Sequence[AccessPoint], batch: Batch, training: bool) -> Tensor:
    """Latents of all access points, which work at the same time, [batch, M, L, D]."""
    for access_point in access_points:
        access_point.load_batch(batch, training)
    return torch.stack([access_point.latents() for access_point in access_points], dim=1)


def adam(module: nn.Module, optimization: Optimization) -> torch.optim.Optimizer:
    """Adam (CF [37]) over a module's parameters; with decoupled weight decay where there is
    some.
    """
    parameters = list(module.parameters()) or [nn.Parameter(torch.zeros(0))]
    return torch.optim.AdamW(parameters, weight_decay=optimization.weight_decay)


def step(
    optimizer: torch.optim.Optimizer,
    module: nn.Module,
    learning_rate: float,
    optimization: Optimization,
) -> None:
    """One step of an optimizer at a learning rate."""
    if optimization.clip:
        nn.utils.clip_grad_norm_(module.parameters(), optimization.clip)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
    optimizer.step()


def autocast(device: torch.device, optimization: Optimization) -> torch.autocast:
    """Mixed precision where it is asked for."""
    return torch.autocast(device.type, torch.bfloat16, enabled=optimization.precision == "bfloat16")
