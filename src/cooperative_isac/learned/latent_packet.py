"""Packets of learned codecs: the fingerprint of a model, then indices or float32 latents.

In fronthaul.envelope:

    payload  model 32 | indices at log2(N_c) bits each (CF section III-D), or latents at 32 bits a
             number
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cooperative_isac.fronthaul.bits import pack_labels, unpack_labels
from cooperative_isac.fronthaul.envelope import PacketError, seal, unseal
from cooperative_isac.learned.network import Network
from cooperative_isac.learned.quantizer import CodebookConfig

# Format numbers of packets.
INDICES = 64
LATENTS = 65
MODEL_BYTES = 4
FLOAT_BYTES = 4


@dataclass(frozen=True)
class LatentCodec:
    """Latents of one network as packets, and back.

    model: fingerprint of the network's weights, 32 bits
    """

    network: Network
    model: int

    def pack(self, latents: Tensor, receiver: str, number: int) -> bytes:
        """The packet of one receiver's latents in a frame.

        latents: [L, D], float32, L latents of D numbers
        receiver: name of the receiver
        number: number of the frame
        Returns the packet, sealed with the envelope's header and checksum.
        """
        # Indices of the nearest codewords; without a codebook, the latents themselves.
        codebook = self.network.codebook(receiver)
        if codebook is None:
            format_number = LATENTS
            body = latents.numpy().astype("<f4").tobytes()
        else:
            format_number = INDICES
            indices = codebook.nearest(latents).numpy().astype(np.uint16)
            body = pack_labels(indices, codebook.config.width)

        # Fingerprint of the weights before them.
        payload = self.model.to_bytes(MODEL_BYTES, "big") + body
        return seal(self.network.scene, format_number, receiver, number, payload)

    def unpack(self, packet: bytes, receiver: str, number: int) -> Tensor:
        """The latents in a packet.

        Returns [L, D], float32.
        Raises PacketError with the reason why a packet is refused.
        """
        codebook = self.network.codebook(receiver)
        format_number = LATENTS if codebook is None else INDICES
        payload = unseal(self.network.scene, format_number, receiver, number, packet)

        # Both ends must use the same weights.
        model = int.from_bytes(payload[:MODEL_BYTES], "big")
        if model != self.model:
            raise PacketError(
                receiver,
                f"its model is {model:08x}, expected {self.model:08x}: access point "
                "and center use different weights",
            )

        body = payload[MODEL_BYTES:]
        if len(body) != self.body_bytes(receiver):
            raise PacketError(
                receiver,
                f"it carries {len(body)} bytes of latents, expected {self.body_bytes(receiver)}",
            )
        if codebook is None:
            return self._latents(body, receiver)
        return codebook.lookup(self._indices(body, codebook.config))

    def body_bytes(self, receiver: str) -> int:
        """Bytes of a receiver's indices or latents."""
        codebook = self.network.codebook(receiver)
        count, size = self.network.latent_shape
        if codebook is None:
            return FLOAT_BYTES * count * size

        # Round up to whole bytes.
        num_bits = count * codebook.config.num_parts * codebook.config.width
        return -(-num_bits // 8)

    def _indices(self, body: bytes, config: CodebookConfig) -> Tensor:
        """Indices [L, num_parts], int64."""
        count = self.network.latent_shape[0]
        labels = unpack_labels(body, config.width, count * config.num_parts)
        return torch.from_numpy(labels.astype(np.int64)).reshape(count, config.num_parts)

    def _latents(self, body: bytes, receiver: str) -> Tensor:
        """Latents [L, D], float32."""
        latents = np.frombuffer(body, "<f4").astype(np.float32).reshape(self.network.latent_shape)
        if not np.isfinite(latents).all():
            raise PacketError(receiver, "its latents are not all finite")
        return torch.from_numpy(latents)
