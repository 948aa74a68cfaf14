"""Collection of the packets of a frame: which arrived, which are missing, when to decode."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from cooperative_isac.fusion.detection import Detection
from cooperative_isac.schemes.contract import Decoder, PacketError
from cooperative_isac.waveform.frame import Frame
from cooperative_isac_ros.messages.records import Announcement, Packet
from cooperative_isac_ros.timing.frame_order import FrameOrder

# Packets that are kept until their frame is announced: of so many frames of every station.
EARLY_FRAMES = 8
# But of so many at least, as of a recording of few stations that plays again.
FEWEST_EARLY_PACKETS = 64


@dataclass(frozen=True)
class CollectedFrame:
    """A frame that is ready to decode, with the packets that came in time and the stations whose
    packets did not.
    """

    announcement: Announcement
    packets: Mapping[str, Packet]
    sites_missing: tuple[str, ...]


@dataclass
class _OpenFrame:
    """An announced frame. sites: stations that receive in it."""

    announcement: Announcement
    sites: tuple[str, ...]
    packets: dict[str, Packet] = field(default_factory=dict)


class PacketCollector:
    """Gathers packets by frame and gives frames out in the order of their numbers.

    schemes: with which the stations encode, by their names
    sites_of: stations that receive in an announced frame, on one of its bands at least; None: all

    A station that was silent for `patience` of its frames in a row is not waited for until it is
    heard again.

    on_fault(event, reason): called for everything that is refused
    """

    def __init__(
        self,
        schemes: Mapping[str, str],
        patience: int = 3,
        on_fault: Callable[[str, str], None] = lambda event, reason: None,
        sites_of: Callable[[Announcement], Collection[str]] | None = None,
    ):
        self._sites = tuple(schemes)
        self._schemes = dict(schemes)
        self._patience = patience
        self._on_fault = on_fault
        self._sites_of = sites_of or (lambda announcement: self._sites)
        self._max_early = max(EARLY_FRAMES * len(self._sites), FEWEST_EARLY_PACKETS)
        self._order: FrameOrder[Announcement] = FrameOrder("frames", on_fault)
        self._early: OrderedDict[tuple[int, int, str], Packet] = OrderedDict()
        self._run: int | None = None
        self._begin(None)

    @property
    def run(self) -> int | None:
        """The run whose frames are gathered."""
        return self._run

    @property
    def num_early(self) -> int:
        """Packets that wait for the announcement of their frame."""
        return len(self._early)

    @property
    def absent(self) -> tuple[str, ...]:
        """Receivers that are not waited for."""
        return tuple(site for site in self._sites if self._silent[site] >= self._patience)

    def announce(self, announcement: Announcement) -> tuple[Announcement, ...]:
        """The frames that this opens: one; none when it is stale; two when it shows that a
        recording plays again.
        """
        turns = self._order.take(announcement.frame, announcement)
        for turn in turns:
            if turn.begins:
                self._begin(turn.frame.run)
            self._open_frame(turn.item)
        if self._order.aside is None:
            self._forget_late()
        return tuple(turn.item for turn in turns)

    def add(self, packet: Packet) -> bool:
        """Take in a packet; False when it is refused."""
        fault = self._fault(packet)
        if fault is not None:
            self._on_fault(*fault)
            return False
        self._silent[packet.site] = 0
        frame = packet.frame
        if frame.run == self._run and frame.number in self._open:
            self._open[frame.number].packets[packet.site] = packet
            return True
        self._early[(frame.run, frame.number, packet.site)] = packet
        if len(self._early) > self._max_early:
            (_, number, site), _ = self._early.popitem(last=False)
            self._on_fault(
                "packets_unannounced",
                f"packet of '{site}' for frame {number}, which nobody announced, is left out: "
                f"{self._max_early} packets wait for their announcements",
            )
        return True

    def complete(self) -> list[CollectedFrame]:
        """Close frames up to the newest one that every awaited station has answered."""
        done = [number for number, opened in self._open.items() if self._is_answered(opened)]
        return self._close(max(done)) if done else []

    def _is_answered(self, opened: _OpenFrame) -> bool:
        """Whether all packets of a frame that are waited for are in, and some are."""
        awaited = [site for site in opened.sites if self._silent[site] < self._patience]
        return bool(awaited) and all(site in opened.packets for site in awaited)

    def expire(self, announcement: Announcement) -> list[CollectedFrame]:
        """Close frames up to one whose deadline has passed; none when that one is closed, or of an
        earlier pass.
        """
        opened = self._open.get(announcement.frame.number)
        is_open = opened is not None and opened.announcement is announcement
        return self._close(announcement.frame.number) if is_open else []

    def _begin(self, run: int | None) -> None:
        if self._run is not None:
            self._on_fault("restarts", f"run {run} began")
        self._run, self._closed = run, -1
        self._open: dict[int, _OpenFrame] = {}
        self._silent = dict.fromkeys(self._sites, 0)

    def _open_frame(self, announcement: Announcement) -> None:
        frame = announcement.frame
        receiving = self._sites_of(announcement)
        sites = tuple(site for site in self._sites if site in receiving)
        opened = self._open[frame.number] = _OpenFrame(announcement, sites)
        for site in self._sites:
            packet = self._early.pop((frame.run, frame.number, site), None)
            if packet is not None:
                opened.packets[site] = packet

    def _forget_late(self) -> None:
        """Packets that were kept for a recording that did not play again."""
        for run, number, site in [*self._early]:
            if run == self._run and number <= self._closed:
                del self._early[run, number, site]
                self._on_fault(
                    "packets_late",
                    f"packet of '{site}' for frame {number} came after it was decoded",
                )

    def _fault(self, packet: Packet) -> tuple[str, str] | None:
        """Event and reason of a packet that cannot be used."""
        site, frame = packet.site, packet.frame
        if site not in self._sites:
            known = ", ".join(self._sites)
            return "packets_of_unknown_site", f"site '{site}' is not in the scene; it has {known}"
        if packet.scheme != self._schemes[site]:
            return (
                "packets_of_other_scheme",
                f"'{site}' encodes with scheme '{packet.scheme}', but the center expects "
                f"'{self._schemes[site]}' of it; give both nodes the same parameter scheme",
            )
        opened = self._open.get(frame.number) if frame.run == self._run else None
        if opened is not None and site in opened.packets:
            return "packets_repeated", f"second packet of '{site}' for frame {frame.number}"
        aside = self._order.aside
        if aside is not None and frame.run == aside.run and frame.number >= aside.number:
            return (
                None  # of a recording that plays again, unless the next announcement says otherwise
            )
        if self._order.has_ended(frame.run):
            return "packets_stale", f"packet of '{site}' is of an earlier run"
        if frame.run != self._run:
            return None
        if frame.number <= self._closed:
            self._silent[site] = 0
            return (
                "packets_late",
                f"packet of '{site}' for frame {frame.number} came after it was decoded",
            )
        return None

    def _close(self, last: int) -> list[CollectedFrame]:
        closed = []
        for number in [number for number in self._open if number <= last]:
            opened = self._open.pop(number)
            missing = tuple(sorted(site for site in opened.sites if site not in opened.packets))
            for site in missing:
                self._silent[site] += 1
            self._closed = number
            closed.append(CollectedFrame(opened.announcement, opened.packets, missing))
        return closed


def decode_trusted(
    decoder: Decoder, packets: Mapping[str, bytes], frame: Frame
) -> tuple[tuple[Detection, ...], dict[str, PacketError]]:
    """Detections from the packets that the decoder accepts; the errors of those it refuses, by
    receiver.
    """
    trusted, refused = dict(packets), {}
    while True:
        try:
            return decoder.decode(trusted, frame), refused
        except PacketError as error:
            if error.receiver not in trusted:
                raise
            refused[error.receiver] = error
            del trusted[error.receiver]
