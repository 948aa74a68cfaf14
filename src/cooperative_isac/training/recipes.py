"""Which network a scheme is trained with, and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cooperative_isac.training.samples import SampleRanges


@dataclass(frozen=True)
class Recipe:
    """kind and hyperparameters of the network (else its defaults), settings and samples of a
    run.
    """

    kind: str
    network: Mapping[str, object] = field(default_factory=dict)
    settings: Mapping[str, object] = field(default_factory=dict)
    ranges: SampleRanges = SampleRanges()


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
# CF section V-A: two convolutions of kernel 5, then the strongest
CENTRAL = {
    "quantized": False,
    "kernel": 5,
    "encoder_layers": 2,
    "encoder_residuals": 0,
    "hidden": 8,
}
VARIED = SampleRanges(targets=(1, 3), power_dbm=(28.0, 38.0), scatterers=(0, 6))

RECIPES = {
    "dvqvae": Recipe("maps", {}, MAPS, VARIED),
    "dvqvae_demodulated": Recipe("spectra", {}, SPECTRA, VARIED),
    "dvqvae_paper": Recipe("paper_dvqvae"),
    "dvae": Recipe("maps", {"quantized": False}, MAPS, VARIED),
    "cnn": Recipe("spectra", CENTRAL, SPECTRA, VARIED),
    "cnn_paper": Recipe("paper_cnn"),
}


def recipe(scheme: str) -> Recipe:
    """The recipe of a scheme. ValueError lists those there are."""
    if scheme not in RECIPES:
        raise ValueError(f"scheme '{scheme}' has nothing to train; use one of {', '.join(RECIPES)}")
    return RECIPES[scheme]
