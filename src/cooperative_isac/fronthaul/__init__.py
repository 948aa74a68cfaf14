"""How features travel from an access point to the center: schemes, packets, bits."""
