"""Processes of nodes: forked, supervised by the kernel, interrupted, and ended."""
