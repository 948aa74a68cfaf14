"""The list of a scene's nodes, its options, and `isac run`."""
