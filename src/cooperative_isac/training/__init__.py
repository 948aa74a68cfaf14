"""How learned codecs are trained: samples from seeds, CF Algorithm 1, runs that survive
interruption.
"""
