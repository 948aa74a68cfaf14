"""The fronthaul between access points and center: packets and their bits."""
