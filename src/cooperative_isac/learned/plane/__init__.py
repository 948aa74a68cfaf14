"""Parts shared by the networks whose center looks for targets in a plane of locations."""
