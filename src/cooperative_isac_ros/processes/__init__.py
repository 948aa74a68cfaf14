"""The process of a node: its start, fork, environment, signals, state file and shared memory."""
