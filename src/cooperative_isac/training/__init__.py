"""Training of learned codecs: samples, CF Algorithm 1, and runs that survive interruptions."""
