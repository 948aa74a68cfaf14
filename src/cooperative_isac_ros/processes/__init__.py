"""Processes of the nodes: fork server, process group, signals, shared memory."""
