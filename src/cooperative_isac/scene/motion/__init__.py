"""How targets and stations move: curves, waypoints, recorded trajectories."""
