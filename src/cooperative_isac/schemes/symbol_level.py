"""Scheme symbol_level: echoes of a few bits a sample, summed at the center over links and bands."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cooperative_isac.channel.echo import Echo
from cooperative_isac.fronthaul.symbol_packet import FORMATS, BandEcho, pack_symbols
from cooperative_isac.scene.model import OBSERVED_MODES, Scene
from cooperative_isac.schemes.contract import Encoder, Scheme
from cooperative_isac.schemes.known_symbols import frame_downlink_bits
from cooperative_isac.schemes.local_receiver import LocalReceiver
from cooperative_isac.schemes.observed_symbols import ObservingSymbolDecoder
from cooperative_isac.schemes.symbol_decoder import SymbolDecoder
from cooperative_isac.schemes.views import check_observed, check_whole, receiving_views
from cooperative_isac.sensing.known_paths import link_suppression
from cooperative_isac.waveform.frame import Frame


class SymbolLevelScheme(Scheme):
    """Fusion of symbols: the center registers the echoes of all links in space and adds them up.

    Stations subtract known static paths, suppress others and estimate their clock offsets. They
    send the rest of their echoes on all bands, `sensing.symbol_bits` for each part of a sample,
    which is below the noise. The center searches a lattice of locations in all echoes together
    (fusion.lattice).

    Raises ValueError for scenes of uncertain positions, bodies, a learned background, or only some
    of the links.
    """

    formats = FORMATS
    synchronizes = ("line_of_sight", *OBSERVED_MODES)
    uses = ("symbol_bits",)
    whitens = True

    def __init__(self, scene: Scene, name: str):
        check_whole(scene, name)
        if scene.has_bodies:
            raise ValueError(
                f"scheme '{name}' is for point targets, and scene '{scene.name}' has `bodies`; use "
                "scheme raw_ml or local_ml"
            )
        if scene.sensing.static_paths == "learn":
            raise ValueError(
                f"scheme '{name}' cannot use sensing.static_paths: learn, as packets of echoes do "
                "not carry the background that stations learn, and targets would have ghosts; set "
                "project, or use scheme local_ml or raw_ml"
            )
        if scene.sensing.synchronization in OBSERVED_MODES:
            check_observed(scene, name)
        super().__init__(scene, name)

    def at(self, station: str) -> SymbolEncoder:
        """A new encoder for one station; see schemes.contract."""
        return SymbolEncoder(self.scene, station)

    def center(self) -> SymbolDecoder:
        """A new decoder for the center; see schemes.contract."""
        if self.scene.sensing.synchronization in OBSERVED_MODES:
            return ObservingSymbolDecoder(self.scene)
        return SymbolDecoder(self.scene)

    def downlink_bits(self, frame: Frame) -> int:
        """Symbols and precoders, where stations need them for clocks or static paths."""
        is_suppressed = any(
            link_suppression(view, site) != "keep"
            for view in self.scene.views
            for site in view.receivers
        )
        if not is_suppressed and self.scene.sensing.synchronization != "line_of_sight":
            return 0
        return frame_downlink_bits(self.scene, frame)


class SymbolEncoder(Encoder):
    """Encoder of one station: its echoes without static paths, quantized, band by band."""

    def __init__(self, scene: Scene, station: str):
        self.scene = scene
        self.station = station
        self._receivers = {
            place.band: LocalReceiver(place) for place in receiving_views(scene, station)
        }

    def encode(self, echoes: Mapping[str, Echo], frame: Frame) -> bytes:
        """The packet of the quantized echoes; see schemes.contract."""
        sent = {}
        for band, receiver in self._receivers.items():
            if band not in echoes:
                continue
            prepared = receiver.prepare(echoes[band], frame)

            # Leave out elements without known symbols: static paths were not subtracted there.
            is_known = np.any(prepared.signal.streams != 0, axis=1)
            samples = np.where(is_known, prepared.samples, 0)
            sent[band] = BandEcho(samples, prepared.offsets)
        width = self.scene.sensing.symbol_bits
        return pack_symbols(self.scene, self.station, frame.number, sent, width)
