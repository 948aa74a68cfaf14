"""Increments of a counter that another node reports on /diagnostics."""

from __future__ import annotations

from diagnostic_msgs.msg import DiagnosticStatus

# Digits of the largest count that is taken from a diagnostics message.
COUNT_DIGITS = 12
# Counter of the frames that a station fuses, before its name.
FUSED_AT = "fused_at_"


class RemoteCounter:
    """A counter of another node since its first report, also over restarts of that node.

    name: full name of the node
    key: of the counter; a report without it counts as 0
    """

    def __init__(self, name: str, key: str):
        self._name = name
        self._key = key
        self._last: int | None = None

    def increment(self, status: DiagnosticStatus) -> int:
        """Increment since the last report of the node; 0 for reports of other nodes."""
        if status.name != self._name:
            return 0
        texts = {value.key: value.value for value in status.values}
        text = texts.get(self._key, "0")
        if not text.isdecimal() or len(text) > COUNT_DIGITS:
            return 0

        # The first report is the reference; the counter of a restarted node begins at 0.
        count = int(text)
        last = self._last
        self._last = count
        if last is None:
            return 0
        return count - last if count >= last else count
