"""Fig. 12: the bits of codebooks of several sizes."""

from cooperative_isac.evaluation.cell_free import fronthaul
from cooperative_isac.fronthaul.envelope import OVERHEAD_BITS
from cooperative_isac.learned.construction import make_network
from cooperative_isac.learned.weights import save_weights


def test_the_bits_of_codebooks_are_those_of_their_packets(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("ISAC_WEIGHTS", str(tmp_path))
    monkeypatch.setattr(fronthaul, "CODEBOOK_SIZES", (4, 64))
    monkeypatch.setattr(fronthaul, "REFIT_STEPS", 30)
    network = make_network(tiny, "maps", {"cells": 8, "coarse": 4})
    save_weights(tmp_path / "tiny-dvqvae.safetensors", network, {})
    small, large = fronthaul.codebook_rows(tiny, "dvqvae", 6, 1, lambda: None)

    # Header, checksum, fingerprint and the coder's own words, and at most 2 and 6 bits an index.
    num_indices, extra = 16 * 8, OVERHEAD_BITS + 32 + 64
    assert small["scheme"] == "dvqvae, codebooks of 4"
    assert extra < small["fronthaul_bits"] < extra + 2 * num_indices
    assert small["fronthaul_bits"] < large["fronthaul_bits"] < extra + 6 * num_indices
