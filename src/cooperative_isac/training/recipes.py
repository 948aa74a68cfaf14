"""Recipes: the network of each learned scheme, and the settings of its training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cooperative_isac.training.samples import SampleRanges


@dataclass(frozen=True)
class Recipe:
    """A network and its training.

    kind: kind of the network (learned.construction.KINDS)
    network: hyperparameters; others are the network's defaults
    settings: settings of the run and of its optimization; others are their defaults
    ranges: from which samples are drawn
    """

    kind: str
    network: Mapping[str, object] = field(default_factory=dict)
    settings: Mapping[str, object] = field(default_factory=dict)
    ranges: SampleRanges = SampleRanges()


# Settings with which the shipped weights are trained.
MAPS = {
    "learning_rate": 1.5e-3,
    "schedule": "cosine",
    "warmup_steps": 100,
    "epochs": 12,
    "batch_size": 32,
    "receiver_dropout": 0.08,
    "weight_decay": 1e-2,
    "clip": 1.0,
}
SPECTRA = {**MAPS, "learning_rate": 4e-3, "batch_size": 16, "epochs": 16}
# CF section V-A: two convolutions of kernel 5, then the maximum over Doppler shifts.
CENTRAL = {
    "quantized": False,
    "kernel": 5,
    "encoder_layers": 2,
    "encoder_residuals": 0,
    "hidden": 8,
}
# Ranges of the samples of which the shipped weights are trained.
WIDE_RANGES = SampleRanges(targets=(1, 3), power_dbm=(28.0, 38.0), scatterers=(0, 6))

RECIPES = {
    "dvqvae": Recipe("maps", {}, MAPS, WIDE_RANGES),
    "dvqvae_demodulated": Recipe("spectra", {}, SPECTRA, WIDE_RANGES),
    "dvqvae_paper": Recipe("paper_dvqvae"),
    "dvae": Recipe("maps", {"quantized": False}, MAPS, WIDE_RANGES),
    "cnn": Recipe("spectra", CENTRAL, SPECTRA, WIDE_RANGES),
    "cnn_paper": Recipe("paper_cnn"),
}


def recipe(scheme: str) -> Recipe:
    """The recipe of a scheme; ValueError with the schemes that have one."""
    if scheme not in RECIPES:
        raise ValueError(f"scheme '{scheme}' has nothing to train; use one of {', '.join(RECIPES)}")
    return RECIPES[scheme]
