"""The networks of the cell-free paper (CF sections III and V-A)."""
