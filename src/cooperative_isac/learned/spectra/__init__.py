"""The spectra network: encoders on demodulated echoes, a center with the scene's geometry."""
