"""The D-VQVAE on spectra: CF's encoder at the access points, and a centre that knows where beams and delays lie."""
