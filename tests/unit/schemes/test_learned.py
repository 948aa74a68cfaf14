"""The contract of learned schemes, with untrained weights."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from chain import Chain

from cooperative_isac.evaluation.cell_free.scenes import changed_scene
from cooperative_isac.evaluation.command import power_result
from cooperative_isac.evaluation.monte_carlo import draw_frame, make_ends, measure_frame
from cooperative_isac.fronthaul.downlink import pack_downlink
from cooperative_isac.fronthaul.raw_packet import unpack_echo
from cooperative_isac.learned.construction import make_network
from cooperative_isac.learned.network import Predictions
from cooperative_isac.learned.weights import load_weights, save_weights
from cooperative_isac.pipeline import transmit
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.schemes.contract import PacketError
from cooperative_isac.schemes.learned import SHIPPED, detections, find_weights
from cooperative_isac.schemes.registry import make_scheme
from cooperative_isac.training.recipes import RECIPES, recipe

SMALL = {
    "paper_dvqvae": {"hidden": 8, "latent_dim": 6, "features": 8},
    "paper_cnn": {"channels": (2, 3), "neurons": 8},
    "maps": {
        "num_targets": 2,
        "cells": 12,
        "coarse": 4,
        "encoder_channels": 8,
        "center_channels": 8,
        "codebook": {"size": 16, "num_parts": 6},
    },
    "spectra": {
        "num_targets": 2,
        "hidden": 4,
        "part_dim": 2,
        "cells": 12,
        "center_channels": 8,
        "codebook": {"size": 16, "num_parts": 7},
    },
}


@pytest.fixture
def weights(tiny, tmp_path, monkeypatch):
    """A folder with untrained weights for every learned scheme, with a bias towards targets."""
    torch.manual_seed(0)
    for name, known in RECIPES.items():
        network = make_network(tiny, known.kind, {**known.network, **SMALL[known.kind]})
        if known.kind in ("maps", "spectra"):
            network.center.out.bias.data[0] = 3.0
        else:
            network.center.head.out.bias.data[::5] = 3.0
        save_weights(tmp_path / f"tiny-{name}.safetensors", network, {})
    monkeypatch.setenv("ISAC_WEIGHTS", str(tmp_path))
    return tmp_path


@pytest.fixture(params=list(RECIPES))
def scheme(request, tiny, weights):
    return Chain(request.param, tiny)


@pytest.fixture(scope="module")
def frame_echoes(tiny):
    draw = draw_frame(tiny, 3)
    band = tiny.band
    samples = {station: echoes[band].samples for station, echoes in draw.echoes.items()}
    return draw.frame.on(band), samples


@pytest.fixture
def packets(scheme, frame_echoes):
    frame, echoes = frame_echoes
    return {receiver: scheme.encode(echo, frame, receiver) for receiver, echo in echoes.items()}


def states(found):
    return np.array([(one.position_m, one.velocity_mps) for one in found])


def test_packets_are_all_that_the_center_needs(scheme, tiny, frame_echoes, packets):
    other = Chain(scheme.name, tiny)
    found = scheme.decode(packets, frame_echoes[0])
    assert len(found) == 2 and np.array_equal(
        states(other.decode(packets, frame_echoes[0])), states(found)
    )


def test_the_same_echo_gives_the_same_bytes_and_is_not_modified(scheme, frame_echoes, packets):
    frame, echoes = frame_echoes
    before = echoes["rx1"].copy()
    assert scheme.encode(echoes["rx1"], frame, "rx1") == packets["rx1"]
    assert np.array_equal(echoes["rx1"], before)


def test_the_order_of_packets_is_irrelevant(scheme, frame_echoes, packets):
    found, other = (
        scheme.decode(dict(order(packets.items())), frame_echoes[0]) for order in (list, reversed)
    )
    assert np.array_equal(states(found), states(other))


def test_a_missing_packet_is_left_out(scheme, frame_echoes, packets):
    alone = scheme.decode({"rx1": packets["rx1"]}, frame_echoes[0])
    assert alone and all(one.sites == ("rx1",) and one.num_paths == 2 for one in alone)
    assert scheme.decode({}, frame_echoes[0]) == ()


def test_a_damaged_packet_is_named(scheme, frame_echoes, packets):
    for damaged in (packets["rx2"][:-1], b"", packets["rx1"]):
        with pytest.raises(PacketError) as caught:
            scheme.decode({**packets, "rx2": damaged}, frame_echoes[0])
        assert caught.value.receiver == "rx2"


def test_a_packet_of_another_frame_is_refused(scheme, tiny, frame_echoes, packets):
    with pytest.raises(PacketError, match="its frame is 3, expected 4"):
        scheme.decode(packets, transmit(tiny, 4))


def test_only_codewords_are_far_smaller_than_the_echo(scheme, frame_echoes, packets):
    raw = frame_echoes[1]["rx1"].nbytes
    limit = 0.02 if scheme.name.startswith("dvqvae") else 1.01
    assert all(0 < len(packet) < limit * raw for packet in packets.values())


def test_raw_echoes_need_no_downlink(scheme, frame_echoes):
    expected = (
        0
        if scheme.name in ("cnn", "cnn_paper", "dvqvae_paper")
        else 8 * len(pack_downlink(frame_echoes[0]))
    )
    assert scheme.downlink_bits(frame_echoes[0]) == expected


@pytest.mark.parametrize("name", ["cnn", "cnn_paper"])
def test_a_central_scheme_sends_the_echo_itself_and_encodes_it_at_the_center(
    tiny, weights, frame_echoes, name
):
    frame, echoes = frame_echoes
    scheme = Chain(name, tiny)
    packet = scheme.encode(echoes["rx1"], frame, "rx1")
    assert np.array_equal(unpack_echo(tiny, tiny.grid, "rx1", frame.number, packet), echoes["rx1"])
    assert torch.equal(
        scheme.decoder.unpacked(packet, "rx1", scheme.frame(frame)),
        scheme.scheme.network.encode(echoes["rx1"], frame, "rx1"),
    )
    absurd = scheme.encode(np.full_like(echoes["rx1"], 3e38), frame, "rx1")
    with np.errstate(all="ignore"), pytest.raises(PacketError, match="200 dB above the noise"):
        scheme.decode({"rx1": absurd}, frame)


def some_found(presence, state):
    return Predictions(
        torch.tensor([presence]),
        torch.tensor([state]),
        torch.tensor([[1.0, 2.0, 3.0, 4.0]]).expand(1, 3, 4),
    )


def test_predictions_become_detections_in_the_plane(tiny):
    scene = replace(tiny, plane_height_m=1.5, sensing=replace(tiny.sensing, min_speed_mps=1.0))
    state = [[10.0, 20.0, 3.0, -4.0], [30.0, 40.0, 0.1, 0.1], [1.0, 2.0, 5.0, 5.0]]
    (one,) = detections(scene, some_found([0.9, 0.9, 0.4], state), ("rx1", "rx2"))
    assert np.allclose(one.position_m, [10, 20, 1.5]) and np.allclose(one.velocity_mps, [3, -4, 0])
    height = scene.height_std_m**2
    assert np.allclose(one.covariance, np.diag([1, 4, height, 9, 16, height]))
    assert one.snr_db == pytest.approx(10 * np.log10(9), abs=1e-3) and one.num_paths == 4


def test_states_that_are_not_finite_are_left_out(tiny):
    nan = float("nan")
    found = some_found(
        [0.9, 0.9, 1.0], [[nan, 0, 1, 1], [5.0, 5.0, nan, 1.0], [5.0, 5.0, 2.0, 1.0]]
    )
    (one,) = detections(tiny, found, ("rx1",))
    assert np.isfinite(one.snr_db)


def test_weights_for_the_number_of_targets_go_first(tiny, weights):
    assert find_weights(tiny, "dvqvae").name == "tiny-dvqvae.safetensors"
    (weights / "tiny-dvqvae-q1.safetensors").write_bytes(b"")
    assert find_weights(tiny, "dvqvae").name == "tiny-dvqvae-q1.safetensors"
    three = replace(tiny, draw=replace(tiny.draw, num_targets=3))
    assert find_weights(three, "dvqvae").name == "tiny-dvqvae.safetensors"


def test_weights_for_the_shape_of_echoes_go_first(tiny, weights):
    shape = tiny.receivers[0].num_ant, tiny.grid.num_subcarriers, tiny.grid.num_symbols
    file = f"tiny-dvqvae-{'x'.join(map(str, shape))}.safetensors"
    for name in (file, "tiny-dvqvae-q1.safetensors", "tiny-dvqvae-1x2x3.safetensors"):
        (weights / name).write_bytes(b"")
    assert find_weights(tiny, "dvqvae").name == file


def test_a_scene_of_another_name_has_the_weights_of_the_same_sites(tiny, weights):
    renamed = replace(tiny, name="traced_tiny")
    (weights / "damaged-dvqvae.safetensors").write_bytes(b"")
    assert find_weights(renamed, "dvqvae") == weights / "tiny-dvqvae.safetensors"
    assert find_weights(renamed, "dvqvae_paper") == weights / "tiny-dvqvae_paper.safetensors"
    faster = replace(renamed, sensing=replace(tiny.sensing, max_speed_mps=99.0))
    with pytest.raises(ValueError, match="'dvqvae' has no weights for scene 'traced_tiny'"):
        find_weights(faster, "dvqvae")


@pytest.mark.parametrize("name", ["tiny", "traced_tiny"])
def test_weights_for_a_number_of_targets_serve_no_other_number(tiny, weights, name):
    (weights / "tiny-dvqvae.safetensors").rename(weights / "tiny-dvqvae-q2.safetensors")
    two = replace(tiny, name=name, draw=replace(tiny.draw, num_targets=2))
    assert find_weights(two, "dvqvae") == weights / "tiny-dvqvae-q2.safetensors"
    three = replace(two, draw=replace(tiny.draw, num_targets=3))
    with pytest.raises(ValueError, match=f"'dvqvae' has no weights for scene '{name}'"):
        find_weights(three, "dvqvae")


def test_one_file_serves_by_its_own_name(tiny, weights, monkeypatch):
    monkeypatch.setenv("ISAC_WEIGHTS", str(weights / "tiny-dvae.safetensors"))
    assert find_weights(tiny, "dvqvae") == weights / "tiny-dvae.safetensors"


def test_the_folder_of_a_training_run_has_its_weights(tiny, weights):
    (weights / "weights.safetensors").write_bytes(b"")
    assert find_weights(tiny, "dvqvae") == weights / "weights.safetensors"


def test_without_weights_the_remedy_is_named(tiny, monkeypatch):
    monkeypatch.delenv("ISAC_WEIGHTS", raising=False)
    with pytest.raises(
        ValueError, match=r"'dvqvae' has no weights for scene 'tiny' .*isac train .*--scheme dvqvae"
    ):
        make_scheme("dvqvae", tiny)
    monkeypatch.setenv("ISAC_WEIGHTS", "/nowhere")
    with pytest.raises(ValueError, match="ISAC_WEIGHTS=/nowhere is neither a file nor a folder"):
        make_scheme("dvqvae", tiny)


# Hyperparameters by scene with which weights are trained, where these are not the recipe's
# (docs/model_cards.md).
OWN_SIZES = {
    "yard": {
        "encoder_channels": 16,
        "center_channels": 32,
        "center_residuals": 2,
        "codebook": {"size": 256, "num_parts": 10, "restart_after": 20},
    },
}


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.safetensors")), ids=lambda path: path.stem)
def test_shipped_weights_are_of_the_network_that_training_makes(path):
    scene_name, scheme_name, *ending = path.stem.split("-")
    scene, basis = load_scene(scene_name), recipe(scheme_name)
    if ending and "x" in ending[0]:
        antennas, subcarriers, symbols = map(int, ending[0].split("x"))
        scene = changed_scene(
            scene_name,
            {
                "receivers.*.array.num_elements": antennas,
                "waveform.num_subcarriers": subcarriers,
                "waveform.num_symbols": symbols,
            },
        )
        assert find_weights(scene, scheme_name) == path
    network = load_weights(path, scene)
    assert network.kind == basis.kind
    if scheme_name.endswith("_paper"):
        return  # the paper's own sizes are those of its Table I
    sizes = {"num_targets": network.config.num_targets, **OWN_SIZES.get(scene_name, {})}
    if network.kind == "maps":
        # Each file names the map that it was trained on.
        sizes["cleaned"] = network.config.cleaned
    made = make_network(scene, basis.kind, {**basis.network, **sizes})
    assert network.config == made.config


def test_the_shipped_codec_is_accurate():
    scene, name = load_scene("cell_free_compact"), "dvqvae"
    names = [name, "music", "compressed_sensing", "monostatic"]
    schemes = {each: make_ends(make_scheme(each, scene)) for each in names}
    samples = [measure_frame(scene, schemes, number) for number in range(20)]
    result = power_result(33.0, names, samples).schemes
    found = result[name]
    assert all(found.rmse_location_m < result[other].rmse_location_m for other in names[1:])
    assert (
        found.median_location_m < 1.0
        and found.median_velocity_mps < 2.0
        and found.detection_rate > 0.9
    )
    assert found.fronthaul_bits < 0.02 * 64 * 8 * 64 * 64  # of the raw echo


def test_shipped_weights_are_small():
    assert 0 < sum(path.stat().st_size for path in SHIPPED.glob("*.safetensors")) < 60e6
