"""Check of the echoes in a bag against the frames that were announced."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path

from cooperative_isac_msgs.msg import Echo, Frame
from rclpy.serialization import deserialize_message
from rich.console import Console
from rich.table import Table

from cooperative_isac.evaluation.run_report import recorded_scene
from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.station import Site
from cooperative_isac.sensing.echo_check.assess import check_echoes
from cooperative_isac.sensing.echo_check.findings import (
    OK,
    UNDECIDED,
    WRONG,
    Check,
    EchoAssessment,
)
from cooperative_isac.waveform.signal import Signal
from cooperative_isac_ros.bag.metadata import BagError
from cooperative_isac_ros.bag.reader import BagReader
from cooperative_isac_ros.bag.recording import FRAME_TYPE, FrameKey
from cooperative_isac_ros.messages import conversions
from cooperative_isac_ros.messages.announced import announced_bands, announced_frame
from cooperative_isac_ros.messages.plain_text import LONGEST_LINE, plain_text
from cooperative_isac_ros.messages.records import Announcement, EchoRecord

ECHO_TYPE = "cooperative_isac_msgs/msg/Echo"
STYLES = {OK: "green", WRONG: "bold red", UNDECIDED: "yellow"}
# Largest difference between the stamps of an echo and its announcement, ns; copied ones are equal.
STAMP_TOLERANCE_NS = 1_000_000


@dataclass
class SiteEchoes:
    """Echoes of one receiver on one band in a bag, and their faults.

    band: empty where the scene has a single one
    used: valid echoes with their announcements
    num_unannounced: echoes of frames that were not announced
    num_outside: echoes of frames before the first or after the last announcement in the bag
    num_other_stamp: echoes whose stamp differs from that of their frame
    refused: reasons why echoes are invalid
    """

    site: str
    band: str
    used: list[tuple[Announcement, EchoRecord]] = field(default_factory=list)
    num_messages: int = 0
    num_unannounced: int = 0
    num_outside: int = 0
    num_other_stamp: int = 0
    refused: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Name of the receiver, with the band where it is needed."""
        return f"{self.site}, band {self.band}" if self.band else self.site

    def check(self) -> Check:
        """Check of the messages themselves."""
        faults = []
        if self.num_unannounced or (not self.used and self.num_outside):
            number = self.num_unannounced + self.num_outside
            faults.append(
                f"{number} of {self.num_messages} have a run and number that was not announced"
            )
        if self.refused:
            faults.append(f"{len(self.refused)} of {self.num_messages} refused: {self.refused[0]}")
        if self.num_other_stamp:
            faults.append(
                f"{self.num_other_stamp} have another stamp than the frame with their number"
            )
        if faults:
            return Check("messages", WRONG, "; ".join(faults))

        # no fault
        which = "each of an announced frame"
        if self.num_outside:
            which = f"{self.num_outside} of them of frames before or after the recording"
        text = f"{self.num_messages} echoes, {which}; {len(self.used)} checked"
        return Check("messages", OK, text)


def read_echoes(
    reader: BagReader, scene_file: str | None, max_frames: int
) -> tuple[Scene, dict[str, SiteEchoes]]:
    """Read the scene of a bag, and the first echoes of each receiver and band.

    scene_file: None: the shipped scene of the recorded name
    max_frames: number of echoes per receiver and band

    Returns the scene, and the echoes by SiteEchoes.name.
    Raises BagError where the bag lacks frames or echoes.
    """
    # topics
    topics = reader.summary().topics
    frame_topics = [
        topic.name for topic in topics if topic.type_name == FRAME_TYPE and topic.num_messages
    ]
    echo_topics = [
        topic.name for topic in topics if topic.type_name == ECHO_TYPE and topic.num_messages
    ]
    if len(frame_topics) != 1:
        raise BagError(
            f"{reader.folder} has {len(frame_topics)} topics with frames; a check needs exactly 1: "
            "record the topic 'frame', too"
        )
    if not echo_topics:
        raise BagError(
            f"{reader.folder} holds no echoes; record the topics '<site>/echo' (simulated ones are "
            "published with the access point's parameter publish_echo)"
        )

    # announcements first: an echo may have been recorded before its own one
    announced: dict[FrameKey, Announcement] = {}
    for message in reader.messages(frame_topics):
        try:
            announcement = conversions.announcement(deserialize_message(message.data, Frame))
        except conversions.ConversionError:
            continue  # nodes refuse it as well
        announced[announcement.frame.run, announcement.frame.number] = announcement
    if not announced:
        raise BagError(f"{reader.folder} has no valid message on {frame_topics[0]}")

    # first and last number of each run
    ranges: dict[int, tuple[int, int]] = {}
    for run, number in announced:
        lowest, highest = ranges.get(run, (number, number))
        ranges[run] = min(lowest, number), max(highest, number)

    # scene
    first = next(iter(announced.values()))
    scene = recorded_scene(first.scene, first.scene_fingerprint, scene_file, reader.folder)

    # echoes by receiver and band
    sites: dict[str, SiteEchoes] = {}
    for message in reader.messages(echo_topics):
        echo = deserialize_message(message.data, Echo)
        is_only_band = len(scene.bands) == 1 and echo.band == scene.band
        found = SiteEchoes(echo.site, "" if is_only_band else echo.band)
        site = sites.setdefault(found.name, found)
        site.num_messages += 1

        # its announcement; every number of a run without announcements is unannounced
        first_number, last_number = ranges.get(echo.run, (0, math.inf))
        if not first_number <= echo.number <= last_number:
            site.num_outside += 1
            continue
        announcement = announced.get((echo.run, echo.number))
        if announcement is None or announcement.scene_fingerprint != scene.fingerprint:
            site.num_unannounced += 1
            continue
        if not _has_stamp(echo, announcement):
            site.num_other_stamp += 1
        if len(site.used) < max_frames:
            _add(site, scene, announcement, echo)
    return scene, sites


def _has_stamp(echo: Echo, announcement: Announcement) -> bool:
    """Return whether an echo has the stamp of its announcement."""
    try:
        stamp_ns = conversions.to_ns(echo.header.stamp)
    except conversions.ConversionError:
        return False
    return abs(stamp_ns - announcement.frame.stamp_ns) <= STAMP_TOLERANCE_NS


def _add(site: SiteEchoes, scene: Scene, announcement: Announcement, message: Echo) -> None:
    """Add an echo to the valid ones, or its fault to the reasons."""
    try:
        # band
        record = conversions.echo_record(message)
        if not record.band and len(scene.bands) > 1:
            bands = ", ".join(band.name for band in scene.bands)
            raise ValueError(f"it names no band; the scene has several: {bands}")
        view = scene.on(site.band or scene.band)
        if view.band not in announced_bands(scene, announcement):
            raise ValueError(f"band {view.band} is not on the air in some of these frames")

        # sizes
        grid = view.grid
        shape = (view.receiver(record.site).num_ant, grid.num_subcarriers, grid.num_symbols)
        if record.echo.shape != shape:
            raise ValueError(
                f"sizes are {' x '.join(map(str, record.echo.shape))}, the scene has "
                f"{' x '.join(map(str, shape))} (antennas, subcarriers, symbols)"
            )
    except ValueError as error:
        site.refused.append(str(error))
        return
    except KeyError as error:
        site.refused.append(str(error.args[0]))
        return
    site.used.append((announcement, record))


def signal_of(scene: Scene, announcement: Announcement) -> Signal:
    """Transmitted signal of an announced frame.

    scene: view of one band

    Raises ValueError where the payload contradicts the scene.
    """
    seeded = replace(scene, seed=announcement.seed)
    return announced_frame(seeded, announcement, reported={}).on(scene.band)


def assess(scene: Scene, receiver: Site, echoes: SiteEchoes) -> EchoAssessment:
    """Check of the echoes of one receiver, its messages first.

    scene: view of one band
    """
    frames = [signal_of(scene, announcement) for announcement, _ in echoes.used]
    samples = [record.echo for _, record in echoes.used]
    powers_w = [record.noise_power_w for _, record in echoes.used]
    found = check_echoes(scene, receiver, frames, samples, powers_w)
    return replace(found, checks=(echoes.check(), *found.checks))


def _checks(scene: Scene, echoes: SiteEchoes) -> tuple[Check, ...]:
    """Checks of a receiver on a band; a failed one where the scene lacks either."""
    band = echoes.band or scene.band
    known = [view.band for view in scene.views]
    if band not in known:
        text = f"the scene has no band '{band}'; it has {', '.join(known)}"
        return (Check("messages", WRONG, text),)
    view = scene.on(band)
    if echoes.site not in [receiver.name for receiver in view.receivers]:
        return (Check("messages", WRONG, f"the scene has no receiver '{echoes.name}'"),)
    return assess(view, view.receiver(echoes.site), echoes).checks


def check_bag(
    bag: Path, scene_file: str | None, site: str | None, max_frames: int, console: Console
) -> int:
    """Print the checks of all receivers in a bag.

    scene_file: None: the shipped scene of the recorded name
    site: name of the only receiver to check; None: all
    max_frames: number of echoes per receiver and band

    Returns the exit code: 0 where no check failed, else 1.
    Raises BagError or ValueError where the bag, the scene or the site cannot be used.
    """
    # echoes
    reader = BagReader(bag, as_installed=True)
    scene, recorded = read_echoes(reader, scene_file, max_frames)
    summary = reader.summary()
    for line in (*summary.damage, *summary.remarks):
        text = plain_text(line, LONGEST_LINE)
        console.print(text, style="yellow", highlight=False, markup=False, soft_wrap=True)
    names = [name for name in sorted(recorded) if site in (None, recorded[name].site)]
    if not names:
        raise BagError(
            f"{bag} holds no echo of '{site}'; it has echoes of {', '.join(sorted(recorded))}"
        )

    # table of the checks
    table = Table(
        "receiver",
        "check",
        "verdict",
        "found",
        title=f"{bag}, scene {scene.name}",
        title_justify="left",
    )
    verdicts = []
    for name in names:
        checks = _checks(scene, recorded[name])
        for number, check in enumerate(checks):
            shown = f"[{STYLES[check.verdict]}]{check.verdict}[/]"
            table.add_row(
                "" if number else name,
                check.name,
                shown,
                check.text,
                end_section=check is checks[-1],
            )
            verdicts.append(check.verdict)
    console.print(table, highlight=False)

    # summary
    num_wrong = verdicts.count(WRONG)
    num_undecided = verdicts.count(UNDECIDED)
    console.print(
        f"{len(verdicts)} checks: {num_wrong} wrong, {num_undecided} undecided; "
        "docs/echo_interface.md describes them",
        highlight=False,
    )
    return 1 if num_wrong else 0
