"""How features travel from an access point to the centre: schemes, packets, bits."""
