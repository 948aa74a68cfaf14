"""The transmitted waveform: constellations, precoders, signals, frames."""
