"""The scene: stations, arrays, bands, targets, motions, the static world and its geometry."""
