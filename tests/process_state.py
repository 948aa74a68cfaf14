"""State of processes, also of those that nobody has waited for."""

from pathlib import Path


def stat(pid):
    """Fields of /proc/PID/stat from the state on; those of a process that is gone: only a Z."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ["Z"]


def alive(pid):
    """True where a process has not ended; one that its new parent has not waited for has."""
    return stat(pid)[0] != "Z"
