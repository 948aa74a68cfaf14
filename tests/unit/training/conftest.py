"""A training job that takes a second."""

import pytest

from cooperative_isac.training.loop import Callback
from cooperative_isac.training.recipes import Recipe
from cooperative_isac.training.run import Job, train_locally
from cooperative_isac.training.settings import Settings

NETWORK = {
    "input": "demodulated",
    "hidden": 8,
    "latent_dim": 6,
    "features": 8,
    "transmit_layers": 0,
    "num_targets": 1,
    "codebook": {"size": 16, "restart_after": 4},
}


@pytest.fixture
def job(tiny, tmp_path):
    return short_job(tiny, tmp_path)


@pytest.fixture(scope="module")
def trained_folder(tiny, tmp_path_factory):
    """The folder of the job after its run."""
    return train_locally(
        short_job(tiny, tmp_path_factory.mktemp("trained")), Callback()
    ).folder.path


def short_job(tiny, tmp_path):
    settings = Settings(
        epochs=3,
        batch_size=4,
        learning_rate=1e-3,
        schedule="cosine",
        receiver_dropout=0.2,
        seed=5,
        checkpoint_steps=2,
        train_samples=20,
        validation_samples=6,
    )
    return Job(tiny, "dvqvae", Recipe("paper_dvqvae", NETWORK), settings, tmp_path / "run")
