"""What the network transmits: OFDM grid, constellations, precoders, frames."""
