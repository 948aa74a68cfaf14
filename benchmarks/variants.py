"""Variants of shipped scenes with changed keys, and the accuracy of a scheme in them."""

from cooperative_isac.scene.file.config import parse_scene, scene_path

# Headings of `accuracy`.
ACCURACY = ("found", "false", "loc. RMSE m", "bound m", "loc. median m")


def changed(name, changes, section=None):
    """A shipped scene with changed keys: each text before, where it stands, becomes that after.

    name: of the scene
    changes: pairs of texts, before and after
    section: name of the section of the file from which on keys are changed; None: everywhere
    """
    path = scene_path(name)
    text = path.read_text()
    start = 0 if section is None else text.index(f"\n{section}:")
    head = text[:start]
    tail = text[start:]
    for before, after in changes:
        if before not in tail:
            raise ValueError(f"{path} has no '{before}'")
        tail = tail.replace(before, after)
    return parse_scene(head + tail, path)


def add_numbers(table, names):
    """Add columns of numbers to a table."""
    for name in names:
        table.add_column(name, justify="right")


def accuracy(at_power, scheme):
    """Detections and locations of a scheme at a power, beside the bound, in the order of ACCURACY.

    at_power: of the result of an evaluation
    """
    figures = at_power.schemes[scheme]
    return (
        f"{figures.detection_rate:.1%}",
        f"{figures.false_alarms_per_frame:.3f}",
        f"{figures.rmse_location_m:.3f}",
        f"{at_power.bound.root_mean_location_m:.3f}",
        f"{figures.median_location_m:.3f}",
    )
