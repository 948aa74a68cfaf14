"""Where everything is and how it moves: sites, arrays, targets, trajectories, geometry."""
