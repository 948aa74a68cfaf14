"""Codecs of spectra: convolutions over beam, delay and Doppler shift, and a center that knows where
echoes lie.
"""
