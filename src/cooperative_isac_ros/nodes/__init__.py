"""Nodes, one per file; the name of a file is that of its executable."""
