"""Detection and estimation of targets in the echoes of one station."""
