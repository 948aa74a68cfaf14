"""A wrong scene file is refused with one line a fault: file, key, what is wrong, what is
allowed.
"""

import re
from pathlib import Path

import pytest

from cooperative_isac.scene.file.config import parse_scene, scene_path
from cooperative_isac.scene.file.errors import SceneError

GOOD = Path(__file__).with_name("good_scene.yaml").read_text()
PLANE = scene_path("cell_free_table1").read_text()
TOP = (
    "allowed: name, dimension, plane_height_m, height_std_m, seed, update_rate_hz, "
    "continuity_threshold_m, area, users, propagation, draw, sensing, tracking, bodies, world, "
    "targets, transmitters, receivers, waveform"
)


def faults(text):
    """The faults of a text as lines without the file's name and line."""
    return [re.sub(r"^:\d+(?=: )", "", line) for line in located(text)]


def located(text):
    """The faults of a text as lines without the file's name."""
    with pytest.raises(SceneError) as error:
        parse_scene(text, Path("x.yaml"))
    return [line.removeprefix("x.yaml") for line in str(error.value).splitlines()]


def changed(text, *changes):
    for before, after in changes:
        assert before in text, f"nothing to change: {before}"
        text = text.replace(before, after, 1)
    return text


# Each alias ten times the one before.
LAUGHS = (
    "a: &a ["
    + ", ".join(10 * ["1"])
    + "]\n"
    + "".join(
        f"{name}: &{name} [{', '.join(10 * ['*' + before])}]\n"
        for before, name in zip("abcdef", "bcdefg")
    )
)
KEYS = [
    ("dimension: 3", "dimension: 4", ": dimension: is 4; allowed: 2, 3"),
    ("dimension: 3", "", ": dimension: is missing"),
    (
        "dimension: 3",
        "dimension: 3\nsed: 1",
        f": sed: is not a known key; did you mean 'seed'? {TOP}",
    ),
    ("dimension: 3", "dimension: 3\nzzz: 1", f": zzz: is not a known key; {TOP}"),
    ("seed: 1", "seed: 1.5", ": seed: is 1.5; must be a whole number"),
    ("seed: 1", "seed: yes", ": seed: is true; must be a whole number"),
    ("seed: 1", "seed:", ": seed: is empty; must be a whole number"),
    (
        "update_rate_hz: 5.0",
        "update_rate_hz: five",
        ": update_rate_hz: is 'five'; must be a number",
    ),
    (
        "update_rate_hz: 5.0",
        "update_rate_hz: -1",
        ": update_rate_hz: is -1; must be greater than 0",
    ),
    (
        "update_rate_hz: 5.0",
        "update_rate_hz: .inf",
        ": update_rate_hz: is inf; must be a finite number",
    ),
    (
        "pitch_deg: 5",
        "pitch_deg: 95",
        ": transmitters[0].orientation.pitch_deg: is 95; must be at most 90",
    ),
    (
        "yaw_deg: 45",
        "yaw: 45",
        ": transmitters[0].orientation.yaw: is not a known key; did you mean 'yaw_deg'? allowed: "
        "yaw_deg, pitch_deg, roll_deg",
    ),
    (
        "kind: planar",
        "kind: planer",
        ": transmitters[0].array.kind: is 'planer'; did you mean 'planar'? "
        "allowed: ula, nested, coprime, planar, custom",
    ),
    (
        "kind: planar, ",
        "",
        ": transmitters[0].array.kind: is missing; allowed: ula, nested, coprime, planar, custom",
    ),
    (
        "num_vertical: 4",
        "num_vertical: 0",
        ": transmitters[0].array.num_vertical: is 0; must be at least 1",
    ),
    (
        "num_vertical: 4",
        "num_vertical: 4, rows: 4",
        ": transmitters[0].array.rows: is not a known key; "
        "allowed: kind, num_horizontal, num_vertical, spacing_wavelengths, pattern",
    ),
    (
        "{kind: planar, num_horizontal: 8, num_vertical: 4}",
        "8",
        ": transmitters[0].array: is 8; must be a mapping of keys",
    ),
    ("[-3, -3, 10]", "[-3]", ": transmitters[0].position_m: has 1 entries; must have at least 2"),
    (
        "[-3, -3, 10]",
        "[1, 2, 3, 4]",
        ": transmitters[0].position_m: has 4 entries; must have at most 3",
    ),
    ("[-3, -3, 10]", "[1, 2, up]", ": transmitters[0].position_m[2]: is 'up'; must be a number"),
    (
        "name: rx2",
        "name: RX-2",
        ": receivers[1].name: is 'RX-2'; allowed: lower-case letters, digits and '_', beginning "
        "with a letter",
    ),
    ("name: uav1", "name: 7", ": targets[0].name: is 7; must be a text"),
    ("power_dbm: 33.0", "power_dbm: 4e4", ": waveform.power_dbm: is 40000.0; must be at most 200"),
    ("power_dbm: 33.0", "power_dbm: .nan", ": waveform.power_dbm: is nan; must be a finite number"),
    ("modulation: 16", "modulation: 32", ": waveform.modulation: is 32; allowed: 4, 16, 64, 256"),
    (
        "precoder: mmse",
        "precoder: mmsee",
        ": waveform.precoder: is 'mmsee'; did you mean 'mmse'? "
        "allowed: mmse, zero_forcing, maximum_ratio",
    ),
    (
        "class: uav",
        "class: drone",
        ": targets[0].class: is 'drone'; allowed: unknown, uav, vehicle",
    ),
    ("loop: true", "loop: 1", ": targets[0].motion.loop: is 1; must be true or false"),
    (
        "false_alarm_probability: 0.01",
        "false_alarm_probability: 1",
        ": sensing.false_alarm_probability: is 1; must be less than 1",
    ),
]


@pytest.mark.parametrize(("before", "after", "fault"), KEYS)
def test_a_wrong_key_is_named_with_what_is_allowed(before, after, fault):
    assert faults(changed(GOOD, (before, after))) == [fault]


def test_every_fault_has_its_line():
    text = changed(
        GOOD,
        ("seed: 1", "seed: -1"),
        ("num_vertical: 8", "num_vertical: 0"),
        ("class: uav", "class: x"),
    )
    assert faults(text) == [
        ": seed: is -1; must be at least 0",
        ": targets[0].class: is 'x'; allowed: unknown, uav, vehicle",
        ": receivers[0].array.num_vertical: is 0; must be at least 1",
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            "dimension: 3\nseed: [1\n",
            ":3: not valid YAML: expected ',' or ']', but got '<stream end>'",
        ),
        ("dimension: 3\nseed: 1\nseed: 2\n", ":3: not valid YAML: key 'seed' appears twice"),
        ("dimension: 3\n7: 2\n", ":2: not valid YAML: key 7 is not a text"),
        (
            "dimension: 3\n\tseed: 1\n",
            ":2: not valid YAML: found character '\\t' that cannot start any token; "
            "indent with spaces, not tabs",
        ),
        ("a: 1\nb: \x00", ":2: not valid YAML: character 0x0 is not allowed"),
        ("a: 1\n---\nb: 2\n", ":2: not valid YAML: there is a second document; keep one"),
        (
            "a: 1\nb: 045\n",
            ":2: not valid YAML: 045 begins with a zero, which some take for octal; write 45",
        ),
        (
            "a: -007\n",
            ":1: not valid YAML: -007 begins with a zero, which some take for octal; write -7",
        ),
        (
            "a: !!timestamp x\n",
            ":1: not valid YAML: a value of type timestamp has no place in a scene file",
        ),
        ("a: !!bool maybe\n", ":1: not valid YAML: 'maybe' cannot be read as bool"),
        ("a: &a\n  b: *a\n", ":1: not valid YAML: an alias contains itself"),
        ("a: " + 1200 * "[", ": not valid YAML: lists and mappings are nested too deeply"),
        (
            LAUGHS,
            ":5: not valid YAML: has more than 100,000 values, those of aliases counted each time",
        ),
        ("a: " + 1_000_000 * "1", ": has 1,000,003 characters; a scene file has at most 1,000,000"),
        ("- 1\n", ":1: must be a mapping of keys, such as 'dimension: 3'"),
        ("", ": must be a mapping of keys, such as 'dimension: 3'"),
    ],
)
def test_what_is_not_yaml_is_refused_with_its_line(text, fault):
    assert located(text)[0] == fault


@pytest.mark.parametrize("value", ["thrice", "2", "", "[twice]", "{a: 1}"])
def test_a_key_of_true_false_or_a_word_has_one_fault_that_lists_all_three(value):
    text = GOOD + f"\nworld: {{target_reflections: {value}}}\n"
    (line,) = faults(text)
    assert line.startswith(": world.target_reflections: is ")
    assert line.endswith("allowed: true, false, twice")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            changed(GOOD, ("power_dbm: 33.0", "power_dbm: 1:30")),
            ": waveform.power_dbm: is '1:30'; must be a number",
        ),
        (
            changed(GOOD, ("seed: 1", "seed: 2026-01-01")),
            ": seed: is '2026-01-01'; must be a whole number",
        ),
        (
            changed(GOOD, ("seed: 1", "seed: 1e9")),
            ": seed: is 1000000000.0; must be a whole number",
        ),
    ],
)
def test_texts_that_yaml_1_1_took_for_numbers_are_no_numbers(text, fault):
    assert faults(text) == [fault]


@pytest.mark.parametrize(
    ("written", "value"), [("0x10", 16), ("0o17", 15), ("0b11", 3), ("1_000", 1000), ("+5", 5)]
)
def test_whole_numbers_may_be_written_as_in_python(written, value):
    from cooperative_isac.scene.file.yaml_text import parse_yaml

    assert parse_yaml(f"a: {written}\n", "x.yaml").data == {"a": value}


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("seed: 1", "seed: -1"),
        ("num_symbols:", "num_symbols: 1.5  #"),
        ("yaw_deg: -45", "yaw_deg: left"),
        ("name: uav1", "name: 7"),
        ("name: uav1", "nam: uav1"),
    ],
)
def test_every_fault_has_the_line_of_its_key(key, words):
    text = changed(GOOD, (key, words))
    number = text[: text.index(words)].count("\n") + 1
    lines = [int(line.split(":")[1]) for line in located(text)]
    assert number in lines and min(lines) >= number - 1


def test_merged_keys_are_read_and_located():
    merged = changed(
        GOOD,
        ("seed: 1", "seed: 1\nusers: &users {num_users: 2, height_m: zero}"),
    )
    first = (
        merged.index("\nusers: {")
        if "\nusers: {" in merged
        else merged.index("\nusers:", merged.index("&users"))
    )
    end = merged.index("\n", first + 1)
    text = merged[:first] + merged[end:]
    assert ": users.height_m: is 'zero'; must be a number" in faults(text)


def test_a_fault_is_one_printable_line():
    text = changed(GOOD, ("name: uav1", 'name: "a\\nb\\e[31m\\ud800"'))
    (line,) = faults(text)
    assert line.isprintable() and "a\\nb\\x1b[31m" in line


def test_a_name_that_no_topic_could_have_is_refused():
    text = changed(GOOD, ("name: uav1", f"name: {'a' * 300}"))
    (line,) = faults(text)
    assert line.endswith("targets[0].name: has 300 characters; must have at most 64")


def test_numbers_may_be_written_as_in_python():
    scene = parse_scene(changed(GOOD, ("30.0e9", "30e9"), ("240.0e3", "240E+3")), Path("x.yaml"))
    assert scene.grid.carrier_hz == 30e9 and scene.grid.subcarrier_spacing_hz == 240e3


MOTION = PLANE[: PLANE.index("\ntargets:")] + "\ntargets:\n  - name: mover\n    motion: "


@pytest.mark.parametrize(
    ("motion", "fault"),
    [
        (
            "{kind: waypoint}",
            "targets[0].motion.kind: is 'waypoint'; did you mean 'waypoints'? "
            "allowed: constant_velocity, coordinated_turn, waypoints, trajectory",
        ),
        (
            "{kind: waypoints, points_m: [[1, 1], [9, 9]]}",
            "targets[0].motion: needs exactly one of speed_mps and times_s",
        ),
        (
            "{kind: waypoints, points_m: [[1, 1], [9, 9]], speed_mps: 1, loop: true}",
            "targets[0].motion.points_m: has 2 points; a loop needs at least 3",
        ),
        (
            "{kind: waypoints, points_m: [[1, 1], [9, 9]], times_s: [0, 1, 2]}",
            "targets[0].motion.times_s: has 3 times; needs 2: one a point",
        ),
        (
            "{kind: waypoints, points_m: [[1, 1], [9, 9], [1, 9]], times_s: [0, 1, 2], loop: true}",
            "targets[0].motion.times_s: has 3 times; needs 4: one a point, and one for the return "
            "to the first",
        ),
        (
            "{kind: waypoints, points_m: [[1, 1], [9, 9]], times_s: [1, 2]}",
            "targets[0].motion.times_s: must begin with 0 and rise",
        ),
        (
            "{kind: waypoints, points_m: [[1, 1], [9, 9]], times_s: [0, 2], corner_radius_m: 3}",
            "targets[0].motion.corner_radius_m: goes with speed_mps only; leave it out beside "
            "times_s",
        ),
        (
            "{kind: waypoints, points_m: [[1, 1], [1, 1]], speed_mps: 1}",
            "targets[0].motion: points 0 and 1 are the same; neighbors must differ",
        ),
        (
            "{kind: constant_velocity, position_m: [90, 50], velocity_mps: [5, 0]}",
            "targets[0].motion: is outside the area at 2.20 s (101.00, 50.00, 0.00); enlarge "
            "area, move the target, or end its motion earlier (duration_s, stop_s)",
        ),
        (
            "{kind: constant_velocity, position_m: [0, 50], velocity_mps: [30, 0], duration_s: 3}",
            "targets[0].motion: reaches 30 m/s; sensing.max_speed_mps is 28.3",
        ),
        (
            "{kind: coordinated_turn, position_m: [50, 50], velocity_mps: [5, 30], "
            "turn_rate_degps: 0}",
            "targets[0].motion: is outside the area at 1.80 s (59.00, 104.00, 0.00); enlarge "
            "area, move the target, or end its motion earlier (duration_s, stop_s)",
        ),
        (
            "{kind: coordinated_turn, position_m: [50, 50, 2], velocity_mps: [5, 0, 1], "
            "turn_rate_degps: 20}",
            "targets[0].motion.position_m: has z = 2; a scene of dimension 2 allows x, y alone or "
            "z = 0",
        ),
    ],
)
def test_a_wrong_motion_is_named(motion, fault):
    assert faults(MOTION + motion)[0] == f": {fault}"


BETWEEN_KEYS = [
    (
        GOOD,
        "[-3, -3, 10]",
        "[-3, -3]",
        "transmitters[0].position_m: has 2 numbers; a scene of dimension 3 needs x, y, z",
    ),
    (
        GOOD,
        "name: rx2",
        "name: tx1",
        "receivers[1].name: 'tx1' is already the name at transmitters[0].name; names must differ",
    ),
    (
        GOOD,
        "name: uav2",
        "name: uav1",
        "targets[1].name: 'uav1' is already the name at targets[0].name; names must differ",
    ),
    (
        GOOD,
        "[103, -3, 20]",
        "[-3, -3, 10.01]",
        "transmitters[1].position_m: is 0.01 m from transmitters[0] ('tx1'); their arrays need "
        "more than 0.0381 m between them",
    ),
    (
        GOOD,
        "high_m: [100, 100, 45]",
        "high_m: [100, 0, 45]",
        "area.high_m[1]: is 0; must be above area.low_m[1] (0)",
    ),
    (
        GOOD,
        "group_size: 4",
        "group_size: 5",
        "waveform.group_size: is 5; must divide num_subcarriers (64)",
    ),
    (
        GOOD,
        "group_size: 4",
        "group_size: 4\n  reference_symbol_stride: 7\n  reference_subcarrier_stride: 4",
        "waveform.reference_symbol_stride: is 7; must divide num_symbols (64), or be 0 for no "
        "reference symbols",
    ),
    (
        GOOD,
        "group_size: 4",
        "group_size: 4\n  reference_subcarrier_stride: 4",
        "waveform.reference_symbol_stride: is 0; must be 0 exactly when "
        "reference_subcarrier_stride (4) is",
    ),
    (
        GOOD,
        "group_size: 4",
        "group_size: 4\n  signals: [data, prs, data]",
        "waveform.signals: is ['data', 'prs', 'data']; must have each signal once",
    ),
    (
        GOOD,
        "group_size: 4",
        "group_size: 4\n  signals: [data, prs, dmrs]\n  reference_subcarrier_stride: 2\n"
        "  reference_symbol_stride: 2",
        "waveform.signals: has reference signals (prs, dmrs), and so has the comb of "
        "reference_subcarrier_stride; set one of both",
    ),
    (
        GOOD,
        "group_size: 4",
        "group_size: 4\n  signals: [prs]",
        "sensing.symbols: is 'payload', but waveform.signals has no data; add data, or set "
        "symbols: reference_only",
    ),
    (
        GOOD,
        "symbols: payload",
        "symbols: reference_only",
        "sensing.symbols: is 'reference_only', but the waveform has no reference symbols; add "
        "reference signals to waveform.signals, such as [data, prs], set "
        "waveform.reference_subcarrier_stride and reference_symbol_stride, or symbols: payload",
    ),
    (
        GOOD,
        "symbol_stride: 4",
        "symbol_stride: 16",
        "waveform.symbol_stride: leaves Doppler ambiguous: it allows speeds below 29.99 m/s, "
        "sensing.max_speed_mps is "
        "30; reduce the stride or the speed",
    ),
    (
        GOOD,
        "cyclic_prefix_s: 1.04e-6",
        "cyclic_prefix_s: 0.5e-6",
        "waveform.cyclic_prefix_s: is 149.9 m of path; must exceed the longest excess path in the "
        "area (218.5 m)",
    ),
    (
        GOOD,
        "update_rate_hz: 5.0",
        "update_rate_hz: 1000",
        "update_rate_hz: is 1000; a frame of 1.333 ms allows less than 750.2",
    ),
    (
        GOOD,
        "min_speed_mps: 1.0",
        "min_speed_mps: 30",
        "sensing.min_speed_mps: is 30; must be below max_speed_mps (30)",
    ),
    (
        GOOD,
        "min_speed_mps: 1.0",
        "deadline_s: 0.3",
        "sensing.deadline_s: is 0.3; must be at most the update period (0.2 s)",
    ),
    (
        GOOD,
        "num_targets: 4",
        "num_targets: 7",
        "draw.num_targets: is 7; must be at most sensing.max_targets (6)",
    ),
    (
        GOOD,
        "max_speed_mps: 15.0",
        "max_speed_mps: 25.0",
        "draw.max_speed_mps: allows speeds up to 35.48 m/s (all axes together); "
        "sensing.max_speed_mps is 30: raise it or draw slower targets",
    ),
    (
        GOOD,
        "height_m: [1, 35]",
        "height_m: [1, 50]",
        "draw.height_m: is [1.0, 50.0]; must lie within the area's heights (0.5 to 45)",
    ),
    (
        GOOD,
        "height_m: [1, 35]",
        "height_m: [35, 1]",
        "draw.height_m: is [35.0, 1.0]; the first height must not be above the second",
    ),
    (
        GOOD,
        "reflection_variance: 0.1",
        "num_scatterers: 5",
        "propagation.clutter.num_scatterers: is 5, but positions_m lists 3; give one of the two "
        "keys",
    ),
    (
        GOOD,
        "[30, 70, 6]",
        "[30, 70]",
        "propagation.clutter.positions_m[0]: has 2 numbers; a scene of dimension 3 needs x, y, z",
    ),
    (
        GOOD,
        "min_speed_mps: 1.0",
        "min_speed_mps: 1.0\n\ntracking: {confirm_hits: 5}",
        "tracking.confirm_hits: is 5; must be at most confirm_window (4)",
    ),
    (
        GOOD,
        "[25, 30, 18]",
        "[-25, 30, 18]",
        "targets[0].motion: is outside the area at 0.00 s (-25.00, 30.00, 18.00); enlarge area, "
        "move the target, or end its motion earlier (duration_s, stop_s)",
    ),
    (
        PLANE,
        "[25, 0]",
        "[25, 0, 1]",
        "transmitters[0].position_m: has z = 1; a scene of dimension 2 allows x, y alone or z = 0",
    ),
    (
        PLANE,
        "max_speed_mps: 20.0",
        "max_speed_mps: 20.0\n  max_climb_mps: 1.0",
        "draw.max_climb_mps: is 1; must be 0 in a scene of dimension 2",
    ),
    (
        PLANE,
        "max_speed_mps: 20.0",
        "max_speed_mps: 20.0\n  height_m: [0, 1]",
        "draw.height_m: is not for a scene of dimension 2; leave it out",
    ),
    (
        PLANE,
        "num_users: 4",
        "num_users: 4\n  height_m: 1.5",
        "users.height_m: is 1.5; a scene of dimension 2 allows only plane_height_m (0)",
    ),
]


@pytest.mark.parametrize(("text", "before", "after", "fault"), BETWEEN_KEYS)
def test_keys_that_contradict_each_other_are_named(text, before, after, fault):
    assert faults(changed(text, (before, after))) == [f": {fault}"]


def test_an_ambiguous_comb_of_reference_symbols_is_refused():
    comb = changed(
        GOOD,
        (
            "group_size: 4",
            "group_size: 4\n  reference_subcarrier_stride: 2\n  reference_symbol_stride: 8",
        ),
        ("symbols: payload", "symbols: reference_only"),
    )
    assert faults(comb) == [
        ": waveform.subcarrier_stride: leaves delays ambiguous: paths in the area differ by up to "
        "218.5 m, the comb is unambiguous over 156.1 m; reduce the stride or the area",
        ": waveform.symbol_stride: leaves Doppler ambiguous: it allows speeds below 14.99 m/s, "
        "sensing.max_speed_mps is 30; reduce the stride or the speed",
    ]


def test_strides_that_leave_nothing_of_a_reference_signal_are_refused():
    text = changed(
        GOOD,
        ("symbol_stride: 4", "symbol_stride: 7"),
        ("group_size: 4", "group_size: 4\n  signals: [data, csi_rs, dmrs]"),
        ("max_speed_mps: 30.0", "max_speed_mps: 25.0"),
    )
    assert faults(text) == [
        ": waveform.signals: has dmrs, of which the strides of the grid leave no element; use "
        "strides without common divisors with 12 subcarriers and 14 symbols"
    ]


@pytest.mark.parametrize(
    ("changes", "name", "words"),
    [
        (
            [("subcarrier_stride: 4", "subcarrier_stride: 3")],
            "ssb",
            "which needs 20 resource blocks of 12 subcarriers; the grid spans 16: num_subcarriers "
            "times subcarrier_stride must be 240 or more",
        ),
        (
            [("subcarrier_stride: 4", "subcarrier_stride: 2")],
            "srs_comb4",
            "which needs 12 resource blocks of 12 subcarriers; the grid spans 11: num_subcarriers "
            "times subcarrier_stride must be 144 or more",
        ),
        (
            [("subcarrier_spacing_hz: 240.0e3", "subcarrier_spacing_hz: 60.0e3")],
            "ssb",
            "which the standard does not have at a subcarrier spacing of 60 kHz; it must be one of "
            "15, 30, 120, 240, 480, 960 kHz",
        ),
        (
            [("num_symbols: 64", "num_symbols: 2")],
            "ssb",
            "of which the strides of the grid leave no element; use strides without common "
            "divisors with 12 subcarriers and 14 symbols, and a frame that reaches to a block",
        ),
    ],
)
def test_a_grid_that_cannot_hold_a_reference_signal_is_refused(changes, name, words):
    signals = ("group_size: 4", f"group_size: 4\n  signals: [data, {name}]")
    found = faults(changed(GOOD, signals, *changes))
    assert f": waveform.signals: has {name}, {words}" in found


@pytest.mark.parametrize(("first", "second"), [(2, 4), (3, 2), (1, 1)])
def test_a_coprime_array_has_coprime_numbers(first, second):
    array = f"{{kind: coprime, first: {first}, second: {second}}}"
    text = changed(PLANE, ("{kind: ula, num_elements: 16, spacing_wavelengths: 0.5}", array))
    assert faults(text)[0].endswith(
        f"transmitters[0].array: has first {first} and second {second}; the second must be "
        "larger, without a common divisor, such as 2 and 3"
    )


def test_static_paths_leave_something_of_the_reference_symbols():
    text = changed(
        GOOD,
        ("group_size: 4", "group_size: 4\n  signals: [data, csi_rs]"),
        ("num_symbols: 64", "num_symbols: 4"),
        ("symbols: payload", "symbols: reference_only\n  static_paths: project"),
    )
    assert faults(text) == [
        ": sensing.static_paths: is 'project', which takes out all of 2 symbols with 2 streams "
        "(one of each transmitter); needs more symbols than streams, or keep"
    ]


@pytest.mark.parametrize("num_symbols", [2, 3])
def test_few_symbols_are_enough_where_no_static_paths_are_taken_out(num_symbols):
    text = changed(PLANE, ("num_symbols: 256", f"num_symbols: {num_symbols}"))
    assert parse_scene(text, Path("x.yaml")).grid.num_symbols == num_symbols


def test_a_single_symbol_is_refused():
    text = changed(PLANE, ("num_symbols: 256", "num_symbols: 1"))
    assert faults(text) == [": waveform.num_symbols: is 1; must be at least 2"]


@pytest.mark.parametrize(
    ("before", "after", "fault"),
    [
        (
            "num_horizontal: 8",
            "num_horizontal: 2147483648",
            ": transmitters[0].array: has 8,589,934,592 elements; at most 4,096",
        ),
        (
            "num_subcarriers: 64",
            "num_subcarriers: 1000000000",
            ": waveform.num_subcarriers: makes an echo of 32 antennas x 1,000,000,000 subcarriers "
            "x 64 symbols, 1.64e+04 GB; at most 2 GB",
        ),
        (
            "num_symbols: 64",
            "num_symbols: 1000000",
            ": waveform.num_subcarriers: makes an echo of 32 antennas x 64 subcarriers x "
            "1,000,000 symbols, 16.4 GB; at most 2 GB",
        ),
        (
            "max_targets: ",
            "max_targets: 1000000 # ",
            ": sensing.max_targets: is 1,000,000; at most 256, as each frame has arrays for each "
            "of them",
        ),
        (
            "users: {num_users: 2",
            "users: {num_users: 1000000",
            ": users.num_users: is 1,000,000; at most 256, as each frame has arrays for each of "
            "them",
        ),
        ("[100, 100, 45]", "[1.0e6, 1.0e6, 45]", "GB: make the area or the bandwidth smaller"),
    ],
)
def test_sizes_beyond_every_machine_are_refused_with_the_limit(before, after, fault):
    text = changed(scene_path("campus").read_text(), (before, after))
    assert any(line.endswith(fault) for line in faults(text)), faults(text)
