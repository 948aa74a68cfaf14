"""Report of a run while it goes on: counters, record, score and bounds, and their checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from cooperative_isac.evaluation.checkpoint import Checkpoint, write_checkpoint
from cooperative_isac.evaluation.live_bound import BoundLog
from cooperative_isac.evaluation.run_ledger import RunLedger, lateness
from cooperative_isac.evaluation.run_record import RECORD_FILE, RunRecorder, recorded_frames
from cooperative_isac.evaluation.summary_file import SUMMARY_FILE, write_summary
from cooperative_isac.evaluation.truth_log import TruthLog
from cooperative_isac.fusion.detection import Detection
from cooperative_isac.metrics.requirements import quality_report
from cooperative_isac.metrics.run_score import LiveFigures, RunScore
from cooperative_isac.scene.model import Scene, TargetState
from cooperative_isac.tracking.track import Track

# Makes a function of one that may fail: it reports an exception instead of raising it. The text
# says what it does.
Guard = Callable[[Callable, str], Callable]


class LiveReport:
    """What is known of a run so far.

    scene: of the run
    scheme: by which stations encode their echoes
    period_s: between frames, s
    """

    def __init__(self, scene: Scene, scheme: str, period_s: float):
        self.scene = scene
        self.scheme = scheme
        self.ledger = RunLedger(period_s)
        self.recorder = RunRecorder()
        self.score = RunScore(
            scene.continuity_threshold_m,
            scene.tracking,
            scene.dimension,
            scene.class_thresholds_m,
        )
        self.bounds = BoundLog(scene.dimension)
        self.truth_log = TruthLog()
        # Names of the targets in frames that were compared.
        self.compared: set[str] = set()

        # State of the checkpoints.
        self.has_changed = False
        self._num_unsaved = 0

    def record(
        self,
        number: int,
        stamp_ns: int,
        truths: Sequence[TargetState],
        detections: Sequence[Detection],
        tracks: Sequence[Track],
        simulated: bool,
    ) -> None:
        """Record the results of a frame.

        number: of the frame
        stamp_ns: of the frame, ns
        truths: states of the targets at the stamp
        simulated: whether the echoes were
        """
        self.recorder.add(number, stamp_ns, truths, detections, tracks, simulated)
        self._num_unsaved += 1

    def compare(
        self,
        stamp_ns: int,
        truths: Sequence[TargetState],
        detections: Sequence[Detection],
        tracks: Sequence[Track],
    ) -> LiveFigures:
        """Score the results of a frame, whose truth is complete."""
        self.compared.update(truth.name for truth in truths)
        return self.score.add(stamp_ns * 1e-9, truths, detections, tracks)

    def restore(self, checkpoint: Checkpoint, guarded: Guard) -> tuple[int, int] | None:
        """Continue the report of an earlier process.

        guarded: for the frames of which the score is computed again
        Returns number and stamp (ns) of its last frame; None: it has none.
        Raises KeyError, TypeError, ValueError: the checkpoint is not of this version.
        """
        # Counters.
        counts = checkpoint.counts
        self.ledger.restore(counts["ledger"])
        self.bounds.restore(counts["bounds"])
        if "truth" in counts:  # of this version
            self.truth_log.restore(counts["truth"])
        self.scheme = str(counts["scheme"])

        # Frames, from which the score is computed again.
        last = None
        without_truth = self.truth_log.numbers
        for frame in recorded_frames(checkpoint.record):
            self.recorder.add(
                frame.number,
                frame.stamp_ns,
                frame.truths,
                frame.detections,
                frame.tracks,
                frame.simulated,
            )
            if frame.number not in without_truth:
                compare = guarded(self.compare, f"evaluating frame {frame.number}")
                compare(frame.stamp_ns, frame.truths, frame.detections, frame.tracks)
            last = (frame.number, frame.stamp_ns)
        return last

    def summary(self, now_ns: int, names: Sequence[str], faults: Mapping[str, str]) -> dict:
        """Report so far, as in summary.json.

        now_ns: time, ns
        names: of all targets
        faults: of the odometry of targets, by name
        """
        ledger = self.ledger.summary(now_ns)
        run = self.score.summary()
        quality = replace(
            run.quality,
            latency_99_ms=ledger["latency_ms"]["end_to_end"]["p99"],
            refresh_s=ledger["refresh_s"],
        )

        # Without what other parts of the report have: frames are those of the ledger, the quality
        # is completed by latencies, and the errors over the bound are those of the bound's frames.
        score = asdict(run)
        score["frames_compared"] = score.pop("frames")
        del score["error_to_bound"]
        del score["quality"]

        # Reasons why targets were in no frame, by name: their clocks, for example.
        usual = lateness(ledger) or "its odometry fits no frame"
        not_compared = {
            name: faults.get(name, usual) for name in names if name not in score["targets"]
        }
        return {
            "scene": self.scene.name,
            "scene_fingerprint": self.scene.fingerprint,
            "scheme": self.scheme,
            **ledger,
            **score,
            **self.truth_log.summary(),
            "quality": quality_report(quality),
            **self.bounds.summary(),
            "targets_not_compared": not_compared,
        }

    def save(self, folder: Path, run: int, summary: dict) -> None:
        """Write a checkpoint.

        run: number of the run
        summary: of the run so far

        Raises OSError: a file cannot be written
        """
        counts = {
            "ledger": self.ledger.state(),
            "bounds": self.bounds.state(),
            "truth": self.truth_log.state(),
            "scheme": self.scheme,
            "scene_fingerprint": self.scene.fingerprint,
        }
        write_checkpoint(folder, run, counts, self.recorder.record(self._num_unsaved), summary)
        self._num_unsaved = 0
        self.has_changed = False

    def complete(self, folder: Path, summary: dict) -> None:
        """Write the complete report.

        Raises OSError: a file cannot be written
        """
        folder.mkdir(parents=True, exist_ok=True)
        write_summary(folder / SUMMARY_FILE, summary)
        self.recorder.record().save(folder / RECORD_FILE)
