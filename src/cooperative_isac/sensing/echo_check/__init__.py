"""Self-test of a radio's echoes against the line of sight that the scene predicts."""
