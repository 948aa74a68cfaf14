"""How learned codecs are trained: samples drawn from seeds, CF Algorithm 1, runs that survive interruption."""
