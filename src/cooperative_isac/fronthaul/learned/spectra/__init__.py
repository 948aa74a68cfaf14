"""Codecs of spectra: convolutions over beam, delay and Doppler shift, and a centre that knows where
echoes lie.
"""
