"""Display in RViz: markers, layout of the picture, and the view of a scene."""
