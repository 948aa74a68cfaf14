"""A scheme with its two ends on one band, fed with bare arrays as tests make them."""

from cooperative_isac.channel.echo import Echo
from cooperative_isac.pipeline import make_encoders
from cooperative_isac.schemes.registry import make_scheme
from cooperative_isac.waveform.frame import Frame


class Chain:
    """The scheme of a name in a scene; live: frames are consecutive, at the scene's rate."""

    def __init__(self, name, scene, live=False):
        self.scheme = make_scheme(name, scene)
        self.name = name
        self.scene = self.scheme.scene
        self.live = live
        self.encoders = make_encoders(self.scheme)
        self.decoder = self.scheme.center()

    def frame(self, signal):
        """A signal as a frame of its number."""
        time_s = signal.number / self.scene.update_rate_hz if self.live else None
        return Frame(signal.number, {self.scene.band: signal}, time_s)

    def echo(self, samples, signal, station):
        """Samples as the echo of a station at the noise power of the band."""
        noise_power_w = self.scene.propagation.noise_power_w
        return Echo(station, self.scene.band, signal.number, samples, noise_power_w)

    def encode(self, samples, signal, station):
        """The packet of one station."""
        echoes = {self.scene.band: self.echo(samples, signal, station)}
        return self.encoders[station].encode(echoes, self.frame(signal))

    def idle(self, station):
        """What a station does when its packet is on its way."""
        self.encoders[station].idle()

    def decode(self, packets, signal):
        """Detections of the center."""
        return self.decoder.decode(packets, self.frame(signal))

    def downlink_bits(self, signal):
        """What stations must be told of a frame."""
        return self.scheme.downlink_bits(self.frame(signal))
