"""A scheme of one's own: the brightest cell of a map and its Doppler shifts, one target a frame.

In Python, without an installation, with this folder on the path:

    isac.run(scene, 50, scheme=Brightest)

For the command, the ROS nodes and evaluations, installed beside this package:

    pip install --no-deps examples/brightest
    isac evaluate cell_free_compact --schemes brightest,local_ml --frames 20
    isac run cell_free_compact --scheme brightest --duration 20
"""

import struct

import numpy as np

from cooperative_isac.fronthaul.envelope import seal, unseal
from cooperative_isac.fusion.detection import Detection
from cooperative_isac.scene.geometry import bistatic_geometry
from cooperative_isac.schemes.contract import Decoder, Encoder, Scheme
from cooperative_isac.sensing.location_map import LocationMap

# Number of the packets' format; those of the built-in schemes are below 128.
FORMAT = 200
# Cells of the map along each side of the area.
CELLS = 48
# Least power over noise of a cell with a target, log10: far above what noise alone reaches.
BRIGHT = 1.5


def layout(scene):
    """Fields of a packet: cell, log10 of its power, and a Doppler shift for each transmitter."""
    return struct.Struct(f">Hf{len(scene.transmitters)}f")


class BrightestEncoder(Encoder):
    """The end at one station."""

    def __init__(self, scene, station):
        self.scene = scene
        self.station = station
        self.map = LocationMap(scene, scene.receiver(station), CELLS)

    def encode(self, echoes, frame):
        """The packet of a frame."""
        # The echo and the signal of the scene's band.
        band = self.scene.band
        samples = echoes[band].samples
        observed = self.map.observe(samples, frame.on(band))

        # The brightest cell, all transmitters together.
        channels = observed.reshape(-1, 3, CELLS**2)
        power = channels[:, 0]
        doppler = channels[:, 1]
        cell = power.sum(axis=0).argmax()

        shifts_hz = doppler[:, cell] * self.map.max_doppler_hz
        payload = layout(self.scene).pack(cell, power[:, cell].max(), *shifts_hz)
        return seal(self.scene, FORMAT, self.station, frame.number, payload)


class BrightestDecoder(Decoder):
    """The end at the center."""

    def __init__(self, scene):
        self.scene = scene
        self.maps = {site.name: LocationMap(scene, site, CELLS) for site in scene.receivers}

    def decode(self, packets, frame):
        """The detection of a frame, if any."""
        # unseal raises PacketError for what is damaged.
        fields = layout(self.scene)
        found = {
            station: fields.unpack(unseal(self.scene, FORMAT, station, frame.number, packet))
            for station, packet in packets.items()
        }
        best = max(found, key=lambda station: found[station][1], default=None)
        if best is None or found[best][1] < BRIGHT:
            return ()
        point = self.maps[best].points_m[found[best][0]]

        # Velocity by least squares over the Doppler shifts of all paths.
        wavelength_m = self.scene.grid.wavelength_m
        slopes = []
        shifts_hz = []
        for station, (_, _, *own_hz) in found.items():
            receiver = self.scene.receiver(station)
            for transmitter, shift_hz in zip(self.scene.transmitters, own_hz):
                path = bistatic_geometry(
                    transmitter.position_m, receiver.position_m, point, np.zeros(3), wavelength_m
                )
                slopes.append(-path.range_gradient[:2] / wavelength_m)
                shifts_hz.append(shift_hz)
        horizontal, *_ = np.linalg.lstsq(np.array(slopes), np.array(shifts_hz), rcond=None)
        velocity = np.append(horizontal, 0.0)

        covariance = np.diag([1.0, 1.0, 0.01, 4.0, 4.0, 0.01])
        snr_db = 10 * found[best][1]
        stations = tuple(sorted(found))
        return (Detection(point, velocity, covariance, snr_db, stations, len(shifts_hz)),)


class Brightest(Scheme):
    """The scheme with its two ends."""

    formats = (FORMAT,)

    def at(self, station):
        """A new encoder for one station."""
        return BrightestEncoder(self.scene, station)

    def center(self):
        """A new decoder."""
        return BrightestDecoder(self.scene)

    def downlink_bits(self, frame):
        """Bits that a station needs of a frame before it can encode: the payload's symbols."""
        return 8 * len(frame.on(self.scene.band).indices.tobytes())
