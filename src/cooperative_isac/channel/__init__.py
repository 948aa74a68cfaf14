"""The channel: propagation paths are generated, then applied to the transmitted signal."""
