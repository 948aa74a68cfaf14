"""Bag recorder: records the topics of a scene."""

from __future__ import annotations

import sys

from cooperative_isac_ros.bag.recorder import Recorder
from cooperative_isac_ros.base import SceneNode, run_node
from cooperative_isac_ros.parameters import Parameter

PARAMETERS = (
    Parameter("directory", "", "new folder for the bag"),
    Parameter("topics", [""], "full names of the topics to record; none: all"),
)


class BagRecorder(SceneNode):
    """Records topics into a bag; ready once the topics that a replay needs are published."""

    def __init__(self, **options):
        super().__init__("bag_recorder", PARAMETERS, **options)

        # recorder
        folder = self.settings.path("directory")
        if folder is None:
            raise ValueError("parameter 'directory' is empty; name a new folder for the bag")
        chosen = [name for name in self.settings["topics"] if name]
        self.recorder = Recorder(self, folder, chosen, self._on_stopped)

        # topics that a replay needs, for whose publishers the node waits; for none where the user
        # chose the topics
        replayed = (
            "detections",
            "tracks",
            *(f"{station.name}/features" for station in self.scene.receiving_stations),
        )
        self._needed = () if chosen else tuple(self.shared(name) for name in replayed)

    def waiting_for(self) -> str:
        """Topics without a publisher; empty where the recording has stopped."""
        # diagnostics
        topics = self.recorder.topics
        self.health.figures["topics"] = len(topics)
        self.health.figures["messages"] = sum(topic.num_messages for topic in topics)
        self.health.figures["megabytes"] = f"{self.recorder.size * 1e-6:.1f}"
        self.health.figures["recording"] = self.recorder.stopped or "runs"
        if self.recorder.stopped:
            return ""  # the other nodes must not wait for it
        return ", ".join(self.recorder.missing(self._needed))

    def _on_stopped(self, reason: str) -> None:
        self.health.fault("recording_stopped", reason)

    def close(self) -> None:
        """Complete the bag."""
        self.recorder.close()


def main(args: list[str] | None = None) -> int:
    """Run the node."""
    return run_node(BagRecorder, args)


if __name__ == "__main__":
    sys.exit(main())
