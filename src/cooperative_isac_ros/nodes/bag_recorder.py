"""Records everything that a scene publishes."""

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
    """Ready when it hears the topics from which a run can be replayed."""

    def __init__(self, **options):
        super().__init__("bag_recorder", PARAMETERS, **options)
        folder = self.settings.path("directory")
        if folder is None:
            raise ValueError("parameter 'directory' is empty; name a new folder for the bag")
        wanted = [name for name in self.settings["topics"] if name]
        self.recorder = Recorder(self, folder, wanted, self._recording_stopped)
        names = (
            "detections",
            "tracks",
            *(f"{station.name}/features" for station in self.scene.receiving_stations),
        )
        self._needed = () if wanted else tuple(self.shared(name) for name in names)

    def waiting_for(self) -> str:
        """The topics that nobody publishes yet; nothing once the bag cannot be written any
        further.
        """
        topics = self.recorder.topics
        self.health.figures["topics"] = len(topics)
        self.health.figures["messages"] = sum(topic.num_messages for topic in topics)
        self.health.figures["megabytes"] = f"{self.recorder.size * 1e-6:.1f}"
        self.health.figures["recording"] = self.recorder.stopped or "runs"
        if self.recorder.stopped:
            return ""  # the others need not wait for it
        return ", ".join(self.recorder.missing(self._needed))

    def _recording_stopped(self, reason: str) -> None:
        self.health.fault("recording_stopped", reason)

    def close(self) -> None:
        """Complete the bag."""
        self.recorder.close()


def main(args: list[str] | None = None) -> int:
    """Run the node."""
    return run_node(BagRecorder, args)


if __name__ == "__main__":
    sys.exit(main())
