"""Weights of learned schemes: their digest, and whether there are any for a scene."""

from __future__ import annotations

import zlib

from cooperative_isac.scene.model import Scene
from cooperative_isac.schemes.catalog import LEARNED


def weights_digest(scene: Scene, scheme: str) -> str:
    """Digest of the weights that a learned scheme uses; "" for a classical scheme."""
    if scheme not in LEARNED:
        return ""
    # Imported here, as torch takes seconds to load.
    from cooperative_isac.schemes.learned import find_weights

    return f"{zlib.crc32(find_weights(scene, scheme).read_bytes()):08x}"


def has_weights(scene: Scene, scheme: str) -> bool:
    """Return whether a scheme has weights that fit a scene, or needs none.

    Raises DamagedWeightsError: the file of the weights is damaged; without the error the scheme
    would be left out without notice
    """
    if scheme not in LEARNED:
        return True
    from cooperative_isac.learned.weights import DamagedWeightsError, load_weights
    from cooperative_isac.schemes.learned import find_weights

    try:
        load_weights(find_weights(scene, scheme), scene)
    except DamagedWeightsError:
        raise
    except ValueError:
        # There are no weights, or they do not fit the scene.
        return False
    return True
