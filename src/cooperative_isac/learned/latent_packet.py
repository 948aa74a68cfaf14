"""Packets of learned codecs: the fingerprint of a model, then indices or float32 latents.

In fronthaul.envelope:

    payload  model 32 | indices by their frequencies (index_coder), where the weights have tables of
             these and that is shorter; else indices at log2(N_c) bits each (CF section III-D);
             without codebooks latents at 32 bits a number
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cooperative_isac.fronthaul.bits import pack_labels, unpack_labels
from cooperative_isac.fronthaul.envelope import PacketError, seal, unseal
from cooperative_isac.learned.index_coder import decode_indices, encode_indices
from cooperative_isac.learned.network import Network
from cooperative_isac.learned.quantizer import Codebook

# Format numbers of packets.
INDICES = 64
LATENTS = 65
CODED_INDICES = 66
MODEL_BYTES = 4
FLOAT_BYTES = 4


@dataclass(frozen=True)
class LatentCodec:
    """Latents of one network as packets, and back.

    model: fingerprint of the network's weights, 32 bits
    model_before: the one that they had before tables were added, in packets with indices of the
    same number of bits; None: there was none
    """

    network: Network
    model: int
    model_before: int | None = None

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
            format_number, body = self._packed(codebook, codebook.nearest(latents).numpy())

        # Fingerprint of the weights before them.
        payload = self.model.to_bytes(MODEL_BYTES, "big") + body
        return seal(self.network.scene, format_number, receiver, number, payload)

    def unpack(self, packet: bytes, receiver: str, number: int) -> Tensor:
        """The latents in a packet.

        Returns [L, D], float32.
        Raises PacketError with the reason why a packet is refused.
        """
        codebook = self.network.codebook(receiver)
        format_number = _format_number(codebook, packet)
        payload = unseal(self.network.scene, format_number, receiver, number, packet)

        # Both ends must use the same weights.
        model = int.from_bytes(payload[:MODEL_BYTES], "big")
        is_before = format_number == INDICES and model == self.model_before
        if model != self.model and not is_before:
            raise PacketError(
                receiver,
                f"its model is {model:08x}, expected {self.model:08x}: access point "
                "and center use different weights",
            )

        # Latents, or the codewords of indices.
        body = payload[MODEL_BYTES:]
        if codebook is None:
            return self._latents(body, receiver)
        if format_number == CODED_INDICES:
            return codebook.lookup(self._decoded(body, codebook, receiver))
        return codebook.lookup(self._indices(body, codebook, receiver))

    def body_bytes(self, receiver: str) -> int:
        """Bytes of a receiver's latents, or of its indices at the same number of bits each."""
        codebook = self.network.codebook(receiver)
        count, size = self.network.latent_shape
        if codebook is None:
            return FLOAT_BYTES * count * size

        # Round up to whole bytes.
        num_bits = count * codebook.config.num_parts * codebook.config.width
        return -(-num_bits // 8)

    def _packed(self, codebook: Codebook, indices: np.ndarray) -> tuple[int, bytes]:
        """Format number and body of indices [L, num_parts], int64: those with fewer bytes."""
        plain = pack_labels(indices.astype(np.uint16), codebook.config.width)
        if codebook.tables is None:
            return INDICES, plain
        coded = encode_indices(indices, codebook.tables.numpy())
        return (CODED_INDICES, coded) if len(coded) < len(plain) else (INDICES, plain)

    def _check_length(self, body: bytes, receiver: str) -> None:
        """Raise PacketError where a body has not the length of body_bytes."""
        expected = self.body_bytes(receiver)
        if len(body) != expected:
            raise PacketError(
                receiver, f"it carries {len(body)} bytes of latents, expected {expected}"
            )

    def _decoded(self, body: bytes, codebook: Codebook, receiver: str) -> Tensor:
        """Indices [L, num_parts], int64, coded by their frequencies."""
        assert codebook.tables is not None
        try:
            indices = decode_indices(body, codebook.tables.numpy(), self.network.latent_shape[0])
        except ValueError as error:
            raise PacketError(receiver, f"its indices are damaged: {error}") from None
        return torch.from_numpy(indices.astype(np.int64))

    def _indices(self, body: bytes, codebook: Codebook, receiver: str) -> Tensor:
        """Indices [L, num_parts], int64, at the same number of bits each."""
        self._check_length(body, receiver)
        config = codebook.config
        count = self.network.latent_shape[0]
        labels = unpack_labels(body, config.width, count * config.num_parts)
        return torch.from_numpy(labels.astype(np.int64)).reshape(count, config.num_parts)

    def _latents(self, body: bytes, receiver: str) -> Tensor:
        """Latents [L, D], float32."""
        self._check_length(body, receiver)
        latents = np.frombuffer(body, "<f4").astype(np.float32).reshape(self.network.latent_shape)
        if not np.isfinite(latents).all():
            raise PacketError(receiver, "its latents are not all finite")
        return torch.from_numpy(latents)


def _format_number(codebook: Codebook | None, packet: bytes) -> int:
    """Format number that a packet must have; with tables older packets of indices are read, too."""
    if codebook is None:
        return LATENTS
    is_coded = codebook.tables is not None and packet[:1] != bytes([INDICES])
    return CODED_INDICES if is_coded else INDICES
