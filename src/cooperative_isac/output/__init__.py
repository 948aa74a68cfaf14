"""Output of commands on the screen and on disk."""
