"""The layout of latents: what is joined comes apart again."""

import pytest
import torch

from cooperative_isac.fronthaul.learned.plane.latents import LatentLayout, Measured


def test_what_is_joined_comes_apart_again():
    layout = LatentLayout(num_parts=8, part_dim=4, num_tx=2)
    learned, *measured = (torch.randn(3, size, 3, 5) for size in (layout.num_learned * 4, 2, 2, 2))
    latents = layout.join(learned, Measured(*measured))
    assert latents.shape == (3, 15, layout.size) == (3, 15, 32)
    again, told = layout.split(latents, (3, 5))
    assert torch.equal(again, learned)
    assert all(torch.equal(*pair) for pair in zip(measured, (told.power, told.doppler, told.length_m)))


def test_each_doppler_shift_and_each_length_has_a_part_of_its_own():
    layout = LatentLayout(num_parts=6, part_dim=4, num_tx=2)
    latents = layout.join(torch.zeros(1, 4, 1, 1), Measured(*(torch.full((1, 2, 1, 1), value) for value in (1., 2., 3.))))
    assert latents.reshape(6, 4).tolist() == [[0] * 4, [1, 1, 0, 0], [2, 0, 0, 0], [2, 0, 0, 0], [3, 0, 0, 0],
                                              [3, 0, 0, 0]]


@pytest.mark.parametrize("sizes, reason", [((5, 4, 2), "need 6 or more"), ((8, 1, 2), "part_dim is 1")])
def test_parts_that_do_not_suffice_are_refused(sizes, reason):
    with pytest.raises(ValueError, match=reason):
        LatentLayout(*sizes)
