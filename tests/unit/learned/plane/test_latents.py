"""The layout of latents: split is the inverse of join."""

import pytest
import torch

from cooperative_isac.learned.plane.latents import LatentLayout, StrongestEchoes


@pytest.mark.parametrize("quantized", [True, False])
@pytest.mark.parametrize(
    "fields",
    [
        ("power", "doppler", "length_m"),
        ("power", "doppler", "length_m", "beam"),
        ("power", "doppler", "length_m", "rise"),
        ("power", "doppler", "length_m", "beam", "rise"),
    ],
)
def test_split_is_the_inverse_of_join(quantized, fields):
    layout = LatentLayout(
        num_parts=10,
        part_dim=4,
        num_tx=2,
        quantized=quantized,
        has_beams="beam" in fields,
        has_rises="rise" in fields,
    )
    learned = torch.randn(3, layout.num_learned * 4, 3, 5)
    measured = {name: torch.randn(3, 2, 3, 5) for name in fields}
    latents = layout.join(learned, StrongestEchoes(**measured))
    assert latents.shape == (3, 15, layout.size)
    assert layout.size == (40 if quantized else layout.num_numbers)
    again, echoes = layout.split(latents, (3, 5))
    assert torch.equal(again, learned)
    for name, value in vars(echoes).items():
        assert value is None if name not in fields else torch.equal(value, measured[name])


def test_each_doppler_shift_and_each_length_has_a_part_of_its_own():
    layout = LatentLayout(num_parts=6, part_dim=4, num_tx=2)
    latents = layout.join(
        torch.zeros(1, 4, 1, 1),
        StrongestEchoes(*(torch.full((1, 2, 1, 1), value) for value in (1.0, 2.0, 3.0))),
    )
    assert latents.reshape(6, 4).tolist() == [
        [0] * 4,
        [1, 1, 0, 0],
        [2, 0, 0, 0],
        [2, 0, 0, 0],
        [3, 0, 0, 0],
        [3, 0, 0, 0],
    ]


def test_beams_share_a_part():
    layout = LatentLayout(num_parts=7, part_dim=4, num_tx=2, has_beams=True)
    echoes = StrongestEchoes(*(torch.full((1, 2, 1, 1), value) for value in (1.0, 2.0, 3.0, 4.0)))
    latents = layout.join(torch.zeros(1, 4, 1, 1), echoes)
    assert latents.reshape(7, 4)[1:3].tolist() == [[1, 1, 0, 0], [4, 4, 0, 0]]


def test_each_rise_has_a_part_of_its_own():
    layout = LatentLayout(num_parts=8, part_dim=2, num_tx=2, has_rises=True)
    power, doppler, length_m, rise = (
        torch.full((1, 2, 1, 1), value) for value in (1.0, 2.0, 3.0, 4.0)
    )
    echoes = StrongestEchoes(power, doppler, length_m, rise=rise)
    latents = layout.join(torch.zeros(1, 2, 1, 1), echoes)
    assert latents.reshape(8, 2)[-2:].tolist() == [[4, 0], [4, 0]]


@pytest.mark.parametrize(
    ("sizes", "reason"),
    [
        ((5, 4, 2), "need 6 or more"),
        ((6, 4, 2, True, True), "need 7"),
        ((8, 1, 2), "part_dim is 1"),
    ],
)
def test_too_few_parts_are_refused(sizes, reason):
    with pytest.raises(ValueError, match=reason):
        LatentLayout(*sizes)
