"""Figures and tables of the cell-free paper (CF section V), by `isac figures cf`."""
