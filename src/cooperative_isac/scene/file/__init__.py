"""Scene files: keys and defaults, checks, and the scene that is built from them."""
