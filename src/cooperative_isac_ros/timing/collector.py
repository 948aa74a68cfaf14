"""Collection of the packets of a frame, from its announcement until it is decoded."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace

from cooperative_isac.fusion.detection import Detection
from cooperative_isac.schemes.contract import Decoder, PacketError
from cooperative_isac.waveform.frame import Frame
from cooperative_isac_ros.messages.records import Announcement, Packet
from cooperative_isac_ros.timing.frame_order import FrameOrder

# A packet may arrive before the announcement of its frame: early packets are kept for this many
# frames of every station.
EARLY_FRAMES = 8
# At least this many early packets are kept, for a recording of few stations that plays again.
MIN_EARLY_PACKETS = 64
# Time within which no frame is returned again, s: less than the age of the newest.
NEVER_S = -1.0


@dataclass(frozen=True)
class CollectedFrame:
    """A frame that is ready to decode.

    packets: those that arrived, by station
    sites_missing: names of the stations whose packets did not
    sites_late: names of those whose packets came after the frame was decoded
    """

    announcement: Announcement
    packets: Mapping[str, Packet]
    sites_missing: tuple[str, ...]
    sites_late: tuple[str, ...] = ()


@dataclass
class _OpenFrame:
    """An announced frame that is not decoded yet.

    sites: names of the stations that receive in it
    """

    announcement: Announcement
    sites: tuple[str, ...]
    packets: dict[str, Packet] = field(default_factory=dict)


class PacketCollector:
    """Collects packets by frame, and returns frames in the order of their numbers.

    A station that was silent in `patience` of its frames in a row is not waited for until its next
    packet.

    schemes: name of the scheme with which each station encodes, by station
    patience: frames without a packet after which a station counts as absent
    on_fault(event, reason): called for everything that is refused
    sites_of: stations that receive in an announced frame, on at least one of its bands; None: all
    revised_s: time before the newest closed frame within which frames are returned again with late
        packets, s; NEVER_S: none
    """

    def __init__(
        self,
        schemes: Mapping[str, str],
        patience: int = 3,
        on_fault: Callable[[str, str], None] = lambda event, reason: None,
        sites_of: Callable[[Announcement], Collection[str]] | None = None,
        revised_s: float = NEVER_S,
    ):
        self._sites = tuple(schemes)
        self._schemes = dict(schemes)
        self._patience = patience
        self._on_fault = on_fault
        self._sites_of = sites_of or (lambda announcement: self._sites)
        self._revised_ns = round(revised_s * 1e9)
        self._max_early = max(EARLY_FRAMES * len(self._sites), MIN_EARLY_PACKETS)
        self._order: FrameOrder[Announcement] = FrameOrder("frames", on_fault)
        self._early: OrderedDict[tuple[int, int, str], Packet] = OrderedDict()
        self._run: int | None = None
        self._begin(None)

    @property
    def run(self) -> int | None:
        """Run whose frames are collected."""
        return self._run

    @property
    def num_early(self) -> int:
        """Number of packets that wait for the announcement of their frame."""
        return len(self._early)

    @property
    def absent(self) -> tuple[str, ...]:
        """Names of the stations that are not waited for."""
        return tuple(site for site in self._sites if not self._is_present(site))

    def _is_present(self, site: str) -> bool:
        return self._silent[site] < self._patience

    def announce(self, announcement: Announcement) -> tuple[Announcement, ...]:
        """Open the frame of an announcement.

        Returns the announcements of the frames that are opened: one; none where it is stale; two
        where it shows that a recording plays again.
        """
        accepted = self._order.take(announcement.frame, announcement)
        for turn in accepted:
            if turn.begins:
                self._begin(turn.frame.run)
            self._open_frame(turn.item)

        # Packets of closed frames are kept as long as the recording may begin to play again.
        may_play_again = self._order.set_aside is not None
        if not may_play_again:
            self._drop_late()
        return tuple(turn.item for turn in accepted)

    def add(self, packet: Packet) -> bool:
        """Add a packet. Returns False where it is refused."""
        fault = self._fault(packet)
        if fault is not None:
            self._on_fault(*fault)
            self._revise(packet)
            return False
        self._silent[packet.site] = 0

        # a packet of an announced frame
        frame = packet.frame
        if frame.run == self._run and frame.number in self._open:
            self._open[frame.number].packets[packet.site] = packet
            return True

        # one that arrived before its announcement; beyond the limit the oldest of them is dropped
        self._early[(frame.run, frame.number, packet.site)] = packet
        if len(self._early) > self._max_early:
            (_, number, site), _ = self._early.popitem(last=False)
            self._on_fault(
                "packets_unannounced",
                f"packet of '{site}' for frame {number}, which was not announced, is left out: "
                f"{self._max_early} packets wait for their announcements",
            )
        return True

    def complete(self) -> list[CollectedFrame]:
        """Close the frames up to the newest one with the packets of all awaited stations."""
        answered = [number for number, opened in self._open.items() if self._is_answered(opened)]
        return self._close(max(answered)) if answered else []

    def _is_answered(self, opened: _OpenFrame) -> bool:
        """Return whether a frame has the packets of all awaited stations, and of one at least."""
        awaited = [site for site in opened.sites if self._is_present(site)]
        return bool(awaited) and all(site in opened.packets for site in awaited)

    def expire(self, announcement: Announcement) -> list[CollectedFrame]:
        """Close the frames up to one whose deadline has passed.

        Returns none where that frame is closed already, or was announced when the recording played
        before.
        """
        opened = self._open.get(announcement.frame.number)
        is_open = opened is not None and opened.announcement is announcement
        return self._close(announcement.frame.number) if is_open else []

    def take_revised(self) -> list[CollectedFrame]:
        """Closed frames with the packets that came late since the last call."""
        revised = list(self._revised.values())
        self._revised = {}
        return revised

    def _revise(self, packet: Packet) -> None:
        """Add a refused packet to its frame, where that was closed without it a short time ago."""
        frame = packet.frame
        known = self._closed_frames.get(frame.number)
        if known is None or frame != known.announcement.frame:
            return
        site = packet.site
        if packet.scheme != self._schemes.get(site) or site in known.packets:
            return

        # the frame with this packet, also for the next ones
        packets = {**known.packets, site: packet}
        missing = tuple(name for name in known.sites_missing if name != site)
        before = self._revised.get(frame.number)
        late = (*(before.sites_late if before is not None else ()), site)
        revised = replace(known, packets=packets, sites_missing=missing)
        self._closed_frames[frame.number] = revised
        self._revised[frame.number] = replace(revised, sites_late=late)

    def _begin(self, run: int | None) -> None:
        """Reset for the first frame of a run."""
        if self._run is not None:
            self._on_fault("restarts", f"run {run} began")
        self._run = run
        self._closed = -1
        self._open: dict[int, _OpenFrame] = {}
        self._closed_frames: dict[int, CollectedFrame] = {}
        self._revised: dict[int, CollectedFrame] = {}
        self._silent = dict.fromkeys(self._sites, 0)

    def _open_frame(self, announcement: Announcement) -> None:
        """Open a frame with the packets that arrived before its announcement."""
        # stations from which packets are expected, in the order of the scene
        frame = announcement.frame
        receiving = self._sites_of(announcement)
        sites = tuple(site for site in self._sites if site in receiving)
        opened = _OpenFrame(announcement, sites)
        self._open[frame.number] = opened

        # packets that were early
        for site in self._sites:
            packet = self._early.pop((frame.run, frame.number, site), None)
            if packet is not None:
                opened.packets[site] = packet

    def _drop_late(self) -> None:
        """Drop the packets that were kept for a recording that did not play again."""
        for run, number, site in [*self._early]:
            if run == self._run and number <= self._closed:
                del self._early[run, number, site]
                self._on_fault(*_late(site, number))

    def _fault(self, packet: Packet) -> tuple[str, str] | None:
        """Diagnostics counter and reason of a packet that cannot be used; else None."""
        site = packet.site
        frame = packet.frame

        # a station and a scheme of the scene
        if site not in self._sites:
            known = ", ".join(self._sites)
            return "packets_of_unknown_site", f"site '{site}' is not in the scene; it has {known}"
        if packet.scheme != self._schemes[site]:
            return (
                "packets_of_other_scheme",
                f"'{site}' encodes with scheme '{packet.scheme}', but the center expects "
                f"'{self._schemes[site]}' of it; give both nodes the same parameter scheme",
            )

        # the first packet of an open frame
        opened = self._open.get(frame.number) if frame.run == self._run else None
        if opened is not None and site in opened.packets:
            return "packets_repeated", f"second packet of '{site}' for frame {frame.number}"

        # of a recording that plays again, unless the next announcement shows that it does not
        aside = self._order.set_aside
        if aside is not None and frame.run == aside.run and frame.number >= aside.number:
            return None

        # neither of an earlier run nor of a decoded frame
        if self._order.has_ended(frame.run):
            return "packets_stale", f"packet of '{site}' is of an earlier run"
        if frame.run == self._run and frame.number <= self._closed:
            self._silent[site] = 0
            return _late(site, frame.number)
        return None

    def _close(self, last: int) -> list[CollectedFrame]:
        """Close the open frames up to a number, and count the silent frames of each station.

        last: number of the last frame to close
        Returns the closed frames in order.
        """
        closed = []
        numbers = [number for number in self._open if number <= last]
        for number in numbers:
            # stations whose packet did not arrive
            opened = self._open.pop(number)
            missing = sorted(site for site in opened.sites if site not in opened.packets)
            for site in missing:
                self._silent[site] += 1

            closed.append(CollectedFrame(opened.announcement, opened.packets, tuple(missing)))
            self._closed = number

        # recent ones, for late packets
        self._closed_frames |= {frame.announcement.frame.number: frame for frame in closed}
        newest_ns = max((_stamp_ns(frame) for frame in closed), default=0)
        self._closed_frames = {
            number: frame
            for number, frame in self._closed_frames.items()
            if newest_ns - _stamp_ns(frame) <= self._revised_ns
        }
        return closed


def _stamp_ns(frame: CollectedFrame) -> int:
    """Stamp of a frame, ns."""
    return frame.announcement.frame.stamp_ns


def _late(site: str, number: int) -> tuple[str, str]:
    """Diagnostics counter and reason of a packet whose frame was decoded without it."""
    return "packets_late", f"packet of '{site}' for frame {number} came after it was decoded"


def decode_trusted(
    decoder: Decoder, packets: Mapping[str, bytes], frame: Frame
) -> tuple[tuple[Detection, ...], dict[str, PacketError]]:
    """Decode a frame from the packets that the decoder accepts.

    packets: by receiver

    Returns the detections, and the errors of the packets that it refuses, by receiver.
    Raises PacketError where the decoder refuses a packet that it was not given.
    """
    trusted = dict(packets)
    refused: dict[str, PacketError] = {}
    while True:
        try:
            return decoder.decode(trusted, frame), refused
        except PacketError as error:
            if error.receiver not in trusted:
                raise
            refused[error.receiver] = error
            del trusted[error.receiver]
