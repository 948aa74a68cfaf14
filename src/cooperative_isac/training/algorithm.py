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
    """Optimization of one side, access point or center.

    commitment_weight: omega of CF eq. 21, for the mean squared distance
    clip: largest norm of a side's gradient (0: no limit)
    weight_decay: decoupled weight decay of Adam
    precision: float32 | bfloat16 (mixed precision)
    """

    commitment_weight: float = 0.25
    clip: float = 0.0
    weight_decay: float = 0.0
    precision: str = "float32"


class AccessPoint(Protocol):
    """One receiver as the center uses it: in this process, or in another one."""

    def load_batch(self, batch: Batch, training: bool) -> None:
        """Load the observations of a batch, for a training step or for validation."""

    def latents(self) -> Tensor:
        """Latents of that batch as the fronthaul carries them (lines 7-9 of Algorithm 1).

        In training the codebook is updated, too (line 10).

        Returns [batch, L, D], float32.
        """

    def update(self, gradient: Tensor, learning_rate: float) -> None:
        """Update the encoder from the gradient of the latents that were sent (line 16).

        gradient: [batch, L, D], float32
        """

    def report(self) -> dict[str, float]:
        """Figures of the last training step: commitment, perplexity."""

    def export(self, network: Network) -> None:
        """Copy the current encoder and codebook into a network at the center."""

    def state_dict(self) -> dict:
        """State from which training continues after an interruption."""

    def load_state_dict(self, state: dict) -> None:
        """Continue from a state."""


class LocalAccessPoint:
    """A receiver with its encoder, codebook and optimizer in this process.

    name: of the receiver
    seed: of the latents that replace unused codewords
    """

    def __init__(
        self,
        name: str,
        encoder: nn.Module,
        codebook: Codebook | None,
        optimization: Optimization,
        seed: int,
    ):
        self.name = name
        self.encoder = encoder
        self.codebook = codebook
        self.optimization = optimization
        self.optimizer = adam(encoder, optimization)
        self.generator = torch.Generator().manual_seed(seed)
        self._report: dict[str, float] = {}

    def initialize(self, parameters: dict) -> None:
        """Set the initial parameters of encoder and codebook (CF section IV-B, step 1)."""
        self.encoder.load_state_dict(parameters["encoder"])
        if self.codebook:
            self.codebook.load_state_dict(parameters["codebook"])

    def load_batch(self, batch: Batch, training: bool) -> None:
        """Load the observations of a batch; see AccessPoint.load_batch."""
        self._observations = batch.observations[self.name]
        self._training = training

    def latents(self) -> Tensor:
        """Latents of that batch; see AccessPoint.latents."""
        if self._training:
            return self._training_latents()

        # Validation: codewords without an update, or the latents themselves.
        with torch.no_grad():
            latents = self._encoded()
            if self.codebook is None:
                return latents
            return self.codebook.lookup(self.codebook.nearest(latents))

    def _training_latents(self) -> Tensor:
        """Latents of the batch for training: codewords, after which the codebook is updated.

        The encoder's output and its commitment loss are kept for the gradient in `update`.
        Returns [batch, num_latents, latent_dim], float32, without gradient.
        """
        self._latents = self._encoded()
        if self.codebook is None:
            return self._latents.detach()

        # Quantize.
        indices = self.codebook.nearest(self._latents)
        codewords = self.codebook.lookup(indices)

        # Commitment loss of the encoder, and statistics of this step for the training curves.
        distance = commitment(self._latents, codewords)
        self._commitment = self.optimization.commitment_weight * distance
        self._report = {
            "commitment": float(self._commitment.detach()),
            "perplexity": perplexity(indices, self.codebook.config.size),
        }

        # Update the codebook.
        self.codebook.update(self._latents.detach(), indices, self.generator)
        return codewords

    def update(self, gradient: Tensor, learning_rate: float) -> None:
        """Update the encoder; see AccessPoint.update.

        The gradient of the codewords is used as that of the latents (straight-through estimator).
        """
        # An encoder that keeps its weights has no gradient (HeldAccessPoint).
        self.optimizer.zero_grad()
        if not self._latents.requires_grad:
            return

        # Gradient of the estimation loss from the center, and of the commitment loss, a scalar that
        # needs no gradient from outside.
        if self.codebook is None:
            self._latents.backward(gradient)
        else:
            torch.autograd.backward([self._latents, self._commitment], [gradient, None])
        optimizer_step(self.optimizer, self.encoder, learning_rate, self.optimization)

    def report(self) -> dict[str, float]:
        """Figures of the last training step; see AccessPoint.report."""
        return self._report

    def export(self, network: Network) -> None:
        """Copy encoder and codebook into a network; see AccessPoint.export."""
        if network.encoders[self.name] is self.encoder:
            return
        network.encoders[self.name].load_state_dict(self.encoder.state_dict())
        if self.codebook:
            network.codebooks[self.name].load_state_dict(self.codebook.state_dict())

    def _encoded(self) -> Tensor:
        with autocast(self._observations.device, self.optimization):
            return self.encoder(self._observations).float()

    def state_dict(self) -> dict:
        """State from which training continues; see AccessPoint.state_dict."""
        codebook = self.codebook.state_dict() if self.codebook else {}
        return {
            "encoder": self.encoder.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "codebook": codebook,
            "random": self.generator.get_state(),
        }

    def load_state_dict(self, state: dict) -> None:
        """Continue from a state; see AccessPoint.load_state_dict."""
        self.encoder.load_state_dict(state["encoder"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["random"])
        if self.codebook:
            self.codebook.load_state_dict(state["codebook"])


class HeldAccessPoint(LocalAccessPoint):
    """A receiver whose encoder keeps its weights: only its codebook learns.

    Its observations are the latents of that encoder (batches.EncodedExamples).
    """

    def __init__(self, name: str, codebook: Codebook | None, optimization: Optimization, seed: int):
        super().__init__(name, nn.Identity(), codebook, optimization, seed)

    def export(self, network: Network) -> None:
        """Copy nothing: encoder and codebook are those of the network."""


class Center:
    """The decoder with its optimizer; truth and transmit signal are here alone."""

    def __init__(self, network: Network, optimization: Optimization):
        self.network = network
        self.optimization = optimization
        self.optimizer = adam(network.center, optimization)

    def update(
        self, latents: Tensor, receiver_mask: Tensor, batch: Batch, learning_rate: float
    ) -> tuple[float, Tensor]:
        """One training step (lines 12-14 of Algorithm 1).

        latents: [batch, M, L, D], float32
        receiver_mask: [batch, M], float32, 0 where a receiver is left out, else 1
        Returns the loss, and its gradient [batch, M, L, D], float32, for the access points.
        """
        assert batch.truth is not None  # the center has it

        # Latents are inputs here: their gradient ends at them, and is sent to the access points.
        latents = latents.requires_grad_()
        self.optimizer.zero_grad()

        # Forward
        with autocast(latents.device, self.optimization):
            masked = latents * receiver_mask[:, :, None, None]
            output = self.network.center(masked, receiver_mask, batch.side_information)
            loss = self.network.loss(output, batch.truth)

        # Backward
        loss.backward()
        optimizer_step(self.optimizer, self.network.center, learning_rate, self.optimization)
        assert latents.grad is not None  # the loss depends on them
        return float(loss.detach()), latents.grad

    def evaluate(self, latents: Tensor, batch: Batch) -> tuple[float, Predictions]:
        """Loss and predictions of a batch, without an update.

        latents: [batch, M, L, D], float32
        """
        assert batch.truth is not None  # the center has it
        receiver_mask = torch.ones(latents.shape[:2], device=latents.device)
        with torch.no_grad(), autocast(latents.device, self.optimization):
            output = self.network.center(latents, receiver_mask, batch.side_information)
            loss = self.network.loss(output, batch.truth)
            return float(loss), self.network.decode(output)

    def state_dict(self) -> dict:
        """State from which training continues after an interruption."""
        return {
            "center": self.network.center.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def load_state_dict(self, state: dict) -> None:
        """Continue from a state."""
        self.network.center.load_state_dict(state["center"])
        self.optimizer.load_state_dict(state["optimizer"])


def train_step(
    access_points: Sequence[AccessPoint],
    center: Center,
    batch: Batch,
    receiver_mask: Tensor,
    learning_rate: float,
) -> float:
    """One step of Algorithm 1 (lines 5-17); returns the estimation loss.

    receiver_mask: [batch, M], float32, 0 where a receiver is left out, else 1
    """
    latents = all_latents(access_points, batch, training=True)
    loss, gradients = center.update(latents, receiver_mask, batch, learning_rate)
    for access_point, gradient in zip(access_points, gradients.unbind(1)):
        access_point.update(gradient, learning_rate)
    return loss


def all_latents(access_points: Sequence[AccessPoint], batch: Batch, training: bool) -> Tensor:
    """Latents of all access points, which work at the same time, [batch, M, L, D], float32."""
    for access_point in access_points:
        access_point.load_batch(batch, training)
    return torch.stack([access_point.latents() for access_point in access_points], dim=1)


def adam(module: nn.Module, optimization: Optimization) -> torch.optim.Optimizer:
    """Adam (CF [37]) over a module's parameters, with decoupled weight decay."""
    # torch refuses an optimizer without parameters; that of a held encoder has an empty one.
    parameters = list(module.parameters()) or [nn.Parameter(torch.zeros(0))]
    return torch.optim.AdamW(parameters, weight_decay=optimization.weight_decay)


def optimizer_step(
    optimizer: torch.optim.Optimizer,
    module: nn.Module,
    learning_rate: float,
    optimization: Optimization,
) -> None:
    """One step of an optimizer at a learning rate, with clipped gradients."""
    if optimization.clip:
        nn.utils.clip_grad_norm_(module.parameters(), optimization.clip)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
    optimizer.step()


def autocast(device: torch.device, optimization: Optimization) -> torch.autocast:
    """Mixed precision, where it is switched on."""
    return torch.autocast(device.type, torch.bfloat16, enabled=optimization.precision == "bfloat16")
