"""The maps network: receivers see the same plane, paths agree on a target's place and velocity."""
