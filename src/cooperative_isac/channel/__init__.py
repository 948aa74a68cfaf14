"""What happens on the air: propagation paths are generated, then applied to a frame."""
