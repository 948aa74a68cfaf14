"""Trajectory files: their content, and faults that name file and line."""

import os

import numpy as np
import pytest

from cooperative_isac.scene.motion.trajectory_file import TrajectoryError, read_trajectory

TUM = (
    "# a comment\n\n0.0 1 2 3 0 0 0 1\n0.5 1.5 2 3 0 0 0 1 # trailing\n1.0 2 2.5 -3e-1 0 0 "
    "0.7071 0.7071\n"
)


def test_tum_is_read(tmp_path):
    (tmp_path / "a.tum").write_text(TUM)
    trajectory = read_trajectory(tmp_path / "a.tum")
    assert trajectory.times_s.tolist() == [0, 0.5, 1]
    assert trajectory.positions_m.tolist() == [[1, 2, 3], [1.5, 2, 3], [2, 2.5, -0.3]]
    assert trajectory.orientations[2].tolist() == [0, 0, 0.7071, 0.7071]


def test_csv_takes_its_columns_by_name(tmp_path):
    (tmp_path / "a.CSV").write_text("speed,z_m,time_s, x_m,y_m\nfast,3,0,1,2\nslow,3.5,1,1.5,2.5\n")
    trajectory = read_trajectory(tmp_path / "a.CSV")
    assert trajectory.times_s.tolist() == [0, 1]
    assert trajectory.positions_m.tolist() == [[1, 2, 3], [1.5, 2.5, 3.5]]
    assert trajectory.orientations is None


GOOD = "0.0 1 2 3 0 0 0 1\n"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (GOOD + "0.1 1 2 3\n", ":2: has 4 columns, needs 8: time x y z qx qy qz qw"),
        (GOOD + "# note\n0.1 1 east 3 0 0 0 1\n", ":3: y is 'east'; it must be a number"),
        (GOOD + "0.1 1 2 nan 0 0 0 1\n", ":2: z is nan; it must be finite"),
        (GOOD + "0.1 1 2 3 0 inf 0 1\n", ":2: qy is inf; it must be finite"),
        (
            GOOD + GOOD,
            ":2: time 0.000000 repeats the stamp 0.000000; stamps must rise: sort the file and "
            "drop duplicates",
        ),
        (
            GOOD + "-1 1 2 3 0 0 0 1\n",
            ":2: time -1.000000 goes back from 0.000000; stamps must rise: sort the file and drop "
            "duplicates",
        ),
        (GOOD, ": has 1 poses, needs at least 2"),
        ("", ": has 0 poses, needs at least 2"),
    ],
)
def test_a_faulty_tum_file_is_refused(tmp_path, text, fault):
    path = tmp_path / "a.tum"
    path.write_text(text)
    with pytest.raises(TrajectoryError) as error:
        read_trajectory(path)
    assert str(error.value) == f"{path}{fault}"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            "time_s,x_m,y\n0,1,2\n",
            ":1: the header lacks y_m, z_m; it must name time_s, x_m, y_m, z_m",
        ),
        ("", ":1: the header lacks time_s, x_m, y_m, z_m; it must name time_s, x_m, y_m, z_m"),
        ("time_s,x_m,y_m,z_m\n0,1,2\n", ":2: has 3 columns, the header names 4"),
        ("time_s,x_m,y_m,z_m\n0,1,2,\n", ":2: z_m is ''; it must be a number"),
        ("time_s,x_m,y_m,z_m\n0,1,2,NaN\n", ":2: z_m is NaN; it must be finite"),
    ],
)
def test_a_faulty_csv_file_is_refused(tmp_path, text, fault):
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(TrajectoryError) as error:
        read_trajectory(path)
    assert str(error.value) == f"{path}{fault}"


def test_a_missing_or_binary_file_is_named(tmp_path):
    with pytest.raises(TrajectoryError, match=r"nowhere\.tum: no such trajectory file"):
        read_trajectory(tmp_path / "nowhere.tum")
    (tmp_path / "b.tum").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TrajectoryError, match=r"b\.tum: cannot be read as text"):
        read_trajectory(tmp_path / "b.tum")
    with pytest.raises(TrajectoryError, match="is not a file; name one"):
        read_trajectory(tmp_path)


def test_a_pipe_is_refused_instead_of_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.tum")
    with pytest.raises(TrajectoryError, match=r"a\.tum: is not a file; name one"):
        read_trajectory(tmp_path / "a.tum")


def test_quoted_cells_are_read(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('"time_s","x_m","y_m","z_m"\n"0","1","2","3"\n"1","2","2","3"\n')
    assert read_trajectory(path).positions_m.tolist() == [[1, 2, 3], [2, 2, 3]]


def test_a_column_that_is_named_twice_is_refused(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("time_s,x_m,y_m,z_m,x_m\n0,1,2,3,4\n1,1,2,3,4\n")
    with pytest.raises(TrajectoryError, match="the header names x_m more than once; keep one"):
        read_trajectory(path)


@pytest.mark.parametrize("others", [0, 4])
def test_a_header_of_tum_names_its_columns_in_any_order(tmp_path, others):
    path = tmp_path / "a.tum"
    names = "tx ty tz qw qx qy qz timestamp" + "".join(f" other{place}" for place in range(others))
    rows = [f"{place} 2 3 1 0 0 0 {place / 2}" + " 7" * others for place in range(2)]
    path.write_text("\n".join([names, *rows]))
    trajectory = read_trajectory(path)
    assert trajectory.times_s.tolist() == [0, 0.5]
    assert trajectory.positions_m.tolist() == [[0, 2, 3], [1, 2, 3]]
    assert trajectory.orientations.tolist() == [[0, 0, 0, 1]] * 2


def written(path, text):
    """A file with a text in UTF-8, its line ends as they are."""
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + TUM,
        TUM.replace("\n", "\r\n"),
        TUM.replace(" ", "\t"),
        TUM.replace(" trailing", "")
        .replace("# a comment\n", "")
        .replace(" ", ",")
        .replace(",#", " #"),
        TUM.replace("# a comment\n", "").replace(" # trailing", "").replace(" ", "; "),
        "timestamp tx ty tz qx qy qz qw\n" + TUM,
    ],
)
def test_marks_line_ends_and_separators_of_other_programs_are_read(tmp_path, text):
    trajectory = read_trajectory(written(tmp_path / "a.txt", text))
    assert trajectory.times_s.tolist() == [0, 0.5, 1]
    assert trajectory.positions_m.tolist() == [[1, 2, 3], [1.5, 2, 3], [2, 2.5, -0.3]]


@pytest.mark.parametrize("count", [3, 9, 11, 13])
def test_an_unknown_number_of_columns_is_refused_by_name(tmp_path, count):
    path = written(tmp_path / "a.txt", "\n".join(" ".join([str(row)] * count) for row in range(3)))
    with pytest.raises(TrajectoryError) as error:
        read_trajectory(path)
    assert str(error.value).startswith(f"{path}:1: has {count} columns; known are TUM (8 columns")


EUROC = (
    "#timestamp [ns], p_RS_R_x [m], p_RS_R_y [m], p_RS_R_z [m], q_RS_w [], q_RS_x [], q_RS_y [], "
    "q_RS_z [], v_RS_R_x [m s^-1], v_RS_R_y [m s^-1], v_RS_R_z [m s^-1], b_w_RS_S_x [rad s^-1], "
    "b_w_RS_S_y [rad s^-1], b_w_RS_S_z [rad s^-1], b_a_RS_S_x [m s^-2], b_a_RS_S_y [m s^-2], "
    "b_a_RS_S_z [m s^-2]\n"
)
EUROC_ROWS = "".join(
    f"{1403636580838555648 + 5_000_000 * k},{k},2,3," + ",".join(13 * ["0.1"]) + "\n"
    for k in range(3)
)


@pytest.mark.parametrize("text", [EUROC + EUROC_ROWS, EUROC_ROWS])
def test_ground_truth_of_euroc_is_read_as_published(tmp_path, text):
    trajectory = read_trajectory(written(tmp_path / "data.csv", text))
    assert trajectory.times_s == pytest.approx([0, 0.005, 0.01], abs=1e-6)
    assert trajectory.positions_m.tolist() == [[0, 2, 3], [1, 2, 3], [2, 2, 3]]


KITTI = "".join(
    f"1 0 0 {x} 0 1 0 {y} 0 0 1 {z}\n" for x, y, z in ((0, 0, 0), (1, -2, 3), (2, -4, 6))
)


def test_poses_of_kitti_are_turned_to_z_up(tmp_path):
    path = written(tmp_path / "00.txt", KITTI)
    with pytest.raises(
        TrajectoryError,
        match=r"have no stamps; put times\.txt beside the file, or give motion\.rate_hz",
    ):
        read_trajectory(path)
    # Forward is z of the camera, left its -x, up its -y.
    wanted = [[0, 0, 0], [3, -1, 2], [6, -2, 4]]
    assert read_trajectory(path, rate_hz=10.0).times_s == pytest.approx([0, 0.1, 0.2])
    written(tmp_path / "times.txt", "0.0\n1.5e-1\n3.0e-1\n")
    trajectory = read_trajectory(path)
    assert trajectory.times_s.tolist() == [0, 0.15, 0.3]
    assert trajectory.positions_m.tolist() == wanted
    assert read_trajectory(path, axes="map").positions_m.tolist() == [
        [0, 0, 0],
        [1, -2, 3],
        [2, -4, 6],
    ]
    written(tmp_path / "times.txt", "0\n1\n")
    with pytest.raises(TrajectoryError, match=r"times\.txt: has 2 stamps, 00\.txt has 3 poses"):
        read_trajectory(path)


def test_twelve_columns_without_rotations_are_no_poses(tmp_path):
    path = written(tmp_path / "a.txt", "0 1 2 3 4 5 6 7 8 9 10 11\n1 1 2 3 4 5 6 7 8 9 10 11\n")
    with pytest.raises(TrajectoryError, match=r"a\.txt:1: has 12 columns, but no rotation in them"):
        read_trajectory(path, rate_hz=10.0)


def stamped(first, step, moved_m):
    """Six poses that move along x."""
    return "".join(f"{first + step * k} {moved_m * k} 0 1 0 0 0 1\n" for k in range(6))


@pytest.mark.parametrize(
    ("first", "step", "unit"),
    [
        (1403636579763555584, 100_000_000, "ns"),
        (1403636579763555, 100_000, "us"),
        (1403636579763, 100, "ms"),
        (0, 100_000_000, "ns"),
        (0, 100, "ms"),
    ],
)
def test_units_of_stamps_are_recognized_and_noted(tmp_path, first, step, unit):
    path = written(tmp_path / "a.tum", stamped(first, step, 0.5))
    trajectory = read_trajectory(path)
    assert trajectory.times_s == pytest.approx(0.1 * np.arange(6), abs=1e-6)
    assert trajectory.note == f"stamps read as {unit} (motion.time_unit: {unit})"
    assert read_trajectory(path, time_unit=unit).times_s == pytest.approx(
        0.1 * np.arange(6), abs=1e-6
    )


@pytest.mark.parametrize(
    ("first", "step", "moved_m"), [(0, 1000, 0.0), (0, 5, 0.0), (0, 1e30, 1.0)]
)
def test_stamps_of_a_doubtful_unit_ask_for_it(tmp_path, first, step, moved_m):
    path = written(tmp_path / "a.tum", stamped(first, step, moved_m))
    with pytest.raises(TrajectoryError, match=r"give motion\.time_unit: s, ms, us or ns"):
        read_trajectory(path)
    assert read_trajectory(path, time_unit="s").times_s[1] == step


@pytest.mark.parametrize("first", [0, 1403636579.76])
def test_stamps_in_seconds_stay_as_they_are(tmp_path, first):
    trajectory = read_trajectory(written(tmp_path / "a.tum", stamped(first, 0.1, 0.5)))
    assert trajectory.times_s[0] == first and not trajectory.note
