"""Trajectory files: what they hold, and faults that name file and line."""

import pytest

from cooperative_isac.scene.trajectory_file import TrajectoryError, read_csv, read_trajectory, read_tum

TUM = "# a comment\n\n0.0 1 2 3 0 0 0 1\n0.5 1.5 2 3 0 0 0 1 # trailing\n1.0 2 2.5 -3e-1 0 0 0.7071 0.7071\n"


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


@pytest.mark.parametrize("text, fault", [
    (GOOD + "0.1 1 2 3\n", ":2: has 4 columns, needs 8: time x y z qx qy qz qw"),
    (GOOD + "# note\n0.1 1 east 3 0 0 0 1\n", ":3: y is 'east'; it must be a number"),
    (GOOD + "0.1 1 2 nan 0 0 0 1\n", ":2: z is nan; it must be finite"),
    (GOOD + "0.1 1 2 3 0 inf 0 1\n", ":2: qy is inf; it must be finite"),
    (GOOD + GOOD,
     ":2: time 0.000000 repeats the stamp 0.000000; stamps must rise: sort the file and drop duplicates"),
    (GOOD + "-1 1 2 3 0 0 0 1\n",
     ":2: time -1.000000 goes back from 0.000000; stamps must rise: sort the file and drop duplicates"),
    (GOOD, ": has 1 poses, needs at least 2"),
    ("", ": has 0 poses, needs at least 2"),
])
def test_a_faulty_tum_file_is_refused(tmp_path, text, fault):
    path = tmp_path / "a.tum"
    path.write_text(text)
    with pytest.raises(TrajectoryError) as error:
        read_tum(path)
    assert str(error.value) == f"{path}{fault}"


@pytest.mark.parametrize("text, fault", [
    ("time_s,x_m,y\n0,1,2\n", ":1: the header lacks y_m, z_m; it must name time_s, x_m, y_m, z_m"),
    ("", ":1: the header lacks time_s, x_m, y_m, z_m; it must name time_s, x_m, y_m, z_m"),
    ("time_s,x_m,y_m,z_m\n0,1,2\n", ":2: has 3 columns, the header names 4"),
    ("time_s,x_m,y_m,z_m\n0,1,2,\n", ":2: z_m is ''; it must be a number"),
    ("time_s,x_m,y_m,z_m\n0,1,2,NaN\n", ":2: z_m is NaN; it must be finite"),
])
def test_a_faulty_csv_file_is_refused(tmp_path, text, fault):
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(TrajectoryError) as error:
        read_csv(path)
    assert str(error.value) == f"{path}{fault}"


def test_a_missing_or_binary_file_is_named(tmp_path):
    with pytest.raises(TrajectoryError, match="nowhere.tum: no such trajectory file"):
        read_trajectory(tmp_path / "nowhere.tum")
    (tmp_path / "b.tum").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TrajectoryError, match="b.tum: cannot be read as text"):
        read_trajectory(tmp_path / "b.tum")
    with pytest.raises(TrajectoryError, match="cannot be read as text"):
        read_trajectory(tmp_path)
