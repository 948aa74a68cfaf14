"""Mirror images of training samples, in scenes whose stations are symmetric about x = middle."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from cooperative_isac.learned.maps.network import Maps
from cooperative_isac.learned.network import Network, Truth
from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.station import Site
from cooperative_isac.training.batches import Batch

# Largest distance between a station and the image of another one, m: rounding of positions.
TOLERANCE_M = 1e-6
# Signs of the coordinates of a reflection.
REVERSED_X = np.array([-1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Mirror:
    """Reflection of a scene in the plane x = middle_m.

    transmitters: index of the image of each transmitter
    receivers: name of the image of each receiver
    """

    middle_m: float
    transmitters: tuple[int, ...]
    receivers: dict[str, str]

    def image(self, batch: Batch, chosen: Tensor) -> Batch:
        """The batch with the mirror images of the chosen samples in their place.

        chosen: [batch], bool
        """
        # Maps [batch, num_tx, 3, rows along y, columns along x]: those of the receiver's image,
        # with columns in reverse, and each transmitter's from its image.
        observations = {}
        for name, maps in batch.observations.items():
            of_image = batch.observations[self.receivers[name]]
            reflected = of_image.flip(-1)[:, self.transmitters]
            observations[name] = torch.where(chosen[:, None, None, None, None], reflected, maps)

        # States: x and its velocity.
        assert batch.truth is not None
        state = batch.truth.state.clone()
        dimension = state.shape[-1] // 2
        is_reflected = chosen[:, None] & batch.truth.present
        x_m = state[..., 0]
        x_speed_mps = state[..., dimension]
        state[..., 0] = torch.where(is_reflected, 2 * self.middle_m - x_m, x_m)
        state[..., dimension] = torch.where(is_reflected, -x_speed_mps, x_speed_mps)
        return replace(batch, observations=observations, truth=Truth(batch.truth.present, state))


def find_mirror(network: Network) -> Mirror:
    """The reflection that a network's samples can have.

    Raises ValueError where its inputs are no maps, or its scene is not symmetric.
    """
    scene = network.scene
    if not isinstance(network, Maps):
        raise ValueError(
            f"samples of network '{network.kind}' have no mirror images, only those of 'maps'; "
            "train without --mirror"
        )
    middle_m = float(scene.box.low_m[0] + scene.box.high_m[0]) / 2
    transmitters = _images(scene, scene.transmitters, middle_m)
    receivers = _images(scene, scene.receivers, middle_m)
    names = {
        site.name: scene.receivers[image].name for site, image in zip(scene.receivers, receivers)
    }
    return Mirror(middle_m, transmitters, names)


def draw_mirrored(batch_size: int, seed: int, step: int) -> Tensor:
    """Samples of a training step to be mirrored, half of them: a function of seed and step.

    Returns [batch], bool.
    """
    # One word more than the seed of the receiver dropout, so that both are independent.
    generator = np.random.default_rng([seed, step, 1])
    return torch.from_numpy(generator.random(batch_size) < 0.5)


def _images(scene: Scene, sites: tuple[Site, ...], middle_m: float) -> tuple[int, ...]:
    """Index of the image of each station; ValueError where one has none."""
    images = []
    for site in sites:
        found = [index for index, other in enumerate(sites) if _is_image(site, other, middle_m)]
        if not found:
            raise ValueError(
                f"scene '{scene.name}' is not symmetric about x = {middle_m:g} m: '{site.name}' "
                "has no mirror image; train without --mirror"
            )
        images.append(found[0])
    return tuple(images)


def _is_image(site: Site, other: Site, middle_m: float) -> bool:
    """True where a station has the place and the array of another one's reflection.

    The place may be that of any element of the array: it changes phases of arrival alone, which
    maps do not have.
    """
    # Reflection of the position, and of the array about its middle.
    place_m = site.position_m * REVERSED_X + [2 * middle_m, 0, 0]
    elements_m = _centered(site.elements_m) * REVERSED_X
    others_m = _centered(other.elements_m)
    if elements_m.shape != others_m.shape:
        return False

    # Every reflected element coincides with one of the other array, in any order.
    distances_m = np.linalg.norm(elements_m[:, None] - others_m, axis=2)
    return bool(
        np.linalg.norm(place_m - other.position_m) < TOLERANCE_M
        and (distances_m.min(axis=1) < TOLERANCE_M).all()
    )


def _centered(elements_m: np.ndarray) -> np.ndarray:
    """Elements [num_ant, 3] in m, relative to their middle."""
    return elements_m - elements_m.mean(axis=0)
