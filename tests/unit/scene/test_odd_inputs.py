"""Damaged scene and trajectory files give a scene or one line a fault, never another exception."""

import os
import warnings
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cooperative_isac.scene.file.config import parse_scene, scene_path
from cooperative_isac.scene.file.errors import SceneError
from cooperative_isac.scene.motion.trajectory_file import TrajectoryError, read_trajectory

# More by hand: ISAC_ODD_INPUTS=20000 pytest tests/unit/scene/test_odd_inputs.py
EXAMPLES = int(os.environ.get("ISAC_ODD_INPUTS", "80"))
some = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))

LINES = {
    name: scene_path(name).read_text().splitlines()
    for name in ("cell_free_compact", "one_pair", "yard")
}
VALUES = st.one_of(
    st.sampled_from(
        [
            "",
            "~",
            "yes",
            "-1",
            "0",
            "1",
            "2",
            "3",
            "1.5",
            "045",
            "0x10",
            "1:30",
            "1e9",
            "-1e300",
            "1e300",
            "1e-300",
            ".inf",
            ".nan",
            "2147483648",
            "9" * 400,
            "9" * 5000,
            "[]",
            "{}",
            "[1, 2]",
            "[1, 2, 3]",
            "[0, 0, 0]",
            "[1e300, 1, 1]",
            "text",
            "'text'",
            '"\\ud800"',
            "*a",
            "&a 1",
            "!!binary x",
            "2026-01-01",
            "{kind: ula, num_elements: 1}",
            "- 1",
            "ü",
            "|",
            "\t",
            "%",
            "@x",
            "? [1]",
            "<<: {}",
        ]
    ),
    st.floats(allow_nan=False).map(repr),
    st.integers(-(10**20), 10**20).map(str),
    st.text(max_size=6),
)


@st.composite
def damaged_scenes(draw):
    """A shipped scene with a few lines or values changed."""
    lines = list(LINES[draw(st.sampled_from(sorted(LINES)))])
    for _ in range(draw(st.integers(1, 3))):
        index = draw(st.integers(0, len(lines) - 1))
        kind = draw(
            st.sampled_from(
                ["value", "value", "value", "delete", "repeat", "swap", "indent", "cut"]
            )
        )
        if kind == "value" and ":" in lines[index]:
            places = [place for place, letter in enumerate(lines[index]) if letter == ":"]
            place = draw(st.sampled_from(places)) + 1
            tail = lines[index][place:]
            ends = [end for end in range(len(tail)) if tail[end] in ",}]#"] + [len(tail)]
            rest = tail[draw(st.sampled_from(ends)) :]
            lines[index] = f"{lines[index][:place]} {draw(VALUES)}{rest}"
        elif kind == "delete" and len(lines) > 1:
            del lines[index]
        elif kind == "repeat":
            lines.insert(index, lines[index])
        elif kind == "swap":
            other = draw(st.integers(0, len(lines) - 1))
            lines[index], lines[other] = lines[other], lines[index]
        elif kind == "indent":
            lines[index] = draw(st.sampled_from([" ", "  ", "\t", "- "])) + lines[index]
        else:
            lines[index] = lines[index][: len(lines[index]) // 2]
    return "\n".join(lines)


@some
@given(damaged_scenes())
def test_a_damaged_scene_is_a_scene_or_named_faults(text):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        try:
            parse_scene(text, Path("x.yaml"))
        except SceneError as error:
            for line in str(error).splitlines():
                assert line.startswith("x.yaml:") and line.isprintable()


CELLS = st.one_of(
    st.floats(-100, 100).map(repr),
    st.integers(-(10**19), 10**19).map(str),
    st.sampled_from(
        ["nan", "inf", "-inf", "1e300", "-1e-300", "x", "", "#", "1_0", "0x1", "\x00", "1,5"]
    ),
)
ROWS = st.one_of(
    st.tuples(st.floats(0, 1e4), st.lists(st.floats(-50, 50), min_size=3, max_size=3)).map(
        lambda row: [repr(row[0]), *map(repr, row[1]), "0", "0", "0", "1"]
    ),
    st.lists(CELLS, min_size=1, max_size=18),
)
HEADERS = [
    "",
    "\ufeff",
    "time_s,x_m,y_m,z_m\n",
    "#timestamp [ns], p_RS_R_x [m], p_RS_R_y [m], p_RS_R_z [m]\n",
    "timestamp tx ty tz qx qy qz qw\n",
    "a,b\n",
    "# c\n",
    "#timestamp p_RS_R_x\n",
]


@st.composite
def odd_trajectories(draw):
    """A table of rows, mostly sound ones in rising order."""
    rows = draw(st.lists(ROWS, max_size=8))
    if draw(st.booleans()):
        rows.sort(key=lambda row: (len(row), row[0]))
    mark = draw(st.sampled_from([" ", "\t", ",", ";", "  "]))
    end = draw(st.sampled_from(["\n", "\r\n", "\n\n"]))
    return draw(st.sampled_from(HEADERS)) + end.join(mark.join(row) for row in rows)


@some
@given(
    odd_trajectories(),
    st.sampled_from(["a.csv", "a.tum", "a.txt"]),
    st.sampled_from([None, "s", "ns"]),
    st.sampled_from([None, 10.0]),
)
def test_an_odd_trajectory_is_a_trajectory_or_one_line(
    tmp_path_factory, text, name, time_unit, rate_hz
):
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(text.encode())
    try:
        trajectory = read_trajectory(path, time_unit, rate_hz)
        assert len(trajectory.times_s) == len(trajectory.positions_m) >= 2
    except TrajectoryError as error:
        assert str(error).startswith(str(path)) and "\n" not in str(error)


@some
@given(odd_trajectories())
def test_an_odd_trajectory_in_a_scene_is_named_or_followed(tmp_path_factory, text):
    folder = tmp_path_factory.getbasetemp()
    (folder / "odd.tum").write_bytes(text.encode())
    scene = "\n".join(LINES["cell_free_compact"])
    start = scene.index("\ntargets:")
    target = "\ntargets:\n  - {name: a, motion: {kind: trajectory, file: odd.tum, height_m: 0}}\n"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        try:
            parse_scene(scene[:start] + target, folder / "x.yaml")
        except SceneError as error:
            for line in str(error).splitlines():
                assert line.startswith(f"{folder / 'x.yaml'}:") and line.isprintable()
