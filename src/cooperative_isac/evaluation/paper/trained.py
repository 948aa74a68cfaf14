"""Which schemes need weights, and whether they have some for a scene."""

from __future__ import annotations

import zlib

from cooperative_isac.scene.model import Scene
from cooperative_isac.schemes.catalog import LEARNED


def weights_digest(scene: Scene, scheme: str) -> str:
    """Digest of the weights that a learned scheme would use; nothing for schemes that do not
    learn.
    """
    if scheme not in LEARNED:
        return ""
    from cooperative_isac.schemes.learned import find_weights  # loads torch

    return f"{zlib.crc32(find_weights(scene, scheme).read_bytes()):08x}"


def has_weights(scene: Scene, scheme: str) -> bool:
    """Whether a scheme can be made for a scene: always, where it does not learn.

    Raises DamagedWeightsError for a file that is no weights: it would be missed in silence.
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
        return False
    return True
