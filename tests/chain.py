"""Encoders and decoder of a scheme on one band, for echoes that are plain arrays."""

from cooperative_isac.channel.echo import Echo
from cooperative_isac.pipeline import make_encoders
from cooperative_isac.schemes.registry import make_scheme
from cooperative_isac.waveform.frame import Frame


class Chain:
    """Encoders and decoder of a scheme.

    live: frames are consecutive, at the scene's rate
    """

    def __init__(self, name, scene, live=False):
        self.scheme = make_scheme(name, scene)
        self.name = name
        self.scene = self.scheme.scene
        self.live = live
        self.encoders = make_encoders(self.scheme)
        self.decoder = self.scheme.center()

    def frame(self, signal):
        """Frame with a signal."""
        time_s = signal.number / self.scene.update_rate_hz if self.live else None
        return Frame(signal.number, {self.scene.band: signal}, time_s)

    def echo(self, samples, signal, station):
        """Echo of a station with samples [num_rx_ant, num_subcarriers, num_symbols]."""
        noise_power_w = self.scene.propagation.noise_power_w
        return Echo(station, self.scene.band, signal.number, samples, noise_power_w)

    def encode(self, samples, signal, station):
        """Packet of a station."""
        echoes = {self.scene.band: self.echo(samples, signal, station)}
        return self.encoders[station].encode(echoes, self.frame(signal))

    def idle(self, station):
        """Work of a station after its packet was sent."""
        self.encoders[station].idle()

    def decode(self, packets, signal):
        """Detections of the center."""
        return self.decoder.decode(packets, self.frame(signal))

    def downlink_bits(self, signal):
        """Downlink bits of a frame."""
        return self.scheme.downlink_bits(self.frame(signal))
