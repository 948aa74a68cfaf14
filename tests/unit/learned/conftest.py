"""Networks of every kind, small enough to run in milliseconds."""

import numpy as np
import pytest
import torch

from cooperative_isac.evaluation.monte_carlo import draw_frame
from cooperative_isac.learned.construction import make_network

SMALL = {"hidden": 8, "latent_dim": 6, "features": 8}
NETWORKS = {
    "raw": ("paper_dvqvae", {**SMALL, "codebook": {"size": 16}}),
    "parts": (
        "paper_dvqvae",
        {
            **SMALL,
            "input": "demodulated",
            "transmit_layers": 0,
            "codebook": {"size": 512, "num_parts": 3},
        },
    ),
    "dvae": ("paper_dvqvae", {**SMALL, "codebook": None, "num_targets": 3}),
    "maps": (
        "maps",
        {
            "cells": 12,
            "coarse": 4,
            "encoder_channels": 8,
            "center_channels": 8,
            "codebook": {"size": 16, "num_parts": 6},
        },
    ),
    "spectra": (
        "spectra",
        {
            "hidden": 4,
            "part_dim": 2,
            "cells": 12,
            "center_channels": 8,
            "center_residuals": 1,
            "codebook": {"size": 16, "num_parts": 7},
        },
    ),
    "cnn": ("paper_cnn", {"channels": (2, 3), "neurons": 8, "num_targets": 1}),
}


@pytest.fixture(params=list(NETWORKS))
def network(request, tiny):
    torch.manual_seed(4)
    return make_network(tiny, *NETWORKS[request.param]).eval().requires_grad_(False)


@pytest.fixture(scope="session")
def frame_echoes(tiny):
    """A frame, and its echoes by receiver."""
    draw = draw_frame(tiny, 7)
    samples = {name: echoes[tiny.band].samples for name, echoes in draw.echoes.items()}
    return draw.frame.on(tiny.band), samples


@pytest.fixture
def latents(network, frame_echoes):
    """Latents of each receiver, [L, D]."""
    frame, echoes = frame_echoes
    return {name: network.encode(echo, frame, name) for name, echo in echoes.items()}


@pytest.fixture
def generator():
    return np.random.default_rng(11)
