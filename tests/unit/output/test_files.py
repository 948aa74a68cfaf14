"""Outputs that cannot be written are refused before the work, and nothing is changed by the
question.
"""

from pathlib import Path

import pytest

from cooperative_isac.output.files import (
    OutputError,
    check_file,
    check_folder,
    check_new_folder,
    write_file,
)

NAME_TOO_LONG = "x" * 300


def refusal(check, path):
    """The line with which a path is refused."""
    with pytest.raises(OutputError) as caught:
        check(path)
    message = str(caught.value)
    assert (
        str(path) in message and "\n" not in message and ";" in message
    ) or "no folder" in message
    return message


@pytest.mark.parametrize("name", ["new.json", "there.json", "ä b.json"])
def test_a_file_that_can_be_written_is_accepted_and_left_alone(tmp_path, name):
    (tmp_path / "there.json").write_text("before")
    check_file(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["there.json"]
    assert (tmp_path / "there.json").read_text() == "before"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "it is a folder; name a file in it"),
        ("no/results.json", "there is no folder"),
        ("file/results.json", "Not a directory"),
        (NAME_TOO_LONG, "File name too long"),
    ],
)
def test_a_file_that_cannot_be_written_is_refused(tmp_path, name, reason):
    (tmp_path / "file").touch()
    assert reason in refusal(check_file, tmp_path / name)


def test_special_files(tmp_path):
    check_file(Path("/dev/null"))
    assert "No space left on device" in refusal(check_file, Path("/dev/full"))
    assert "cannot write" in refusal(check_file, Path("/proc/results.json"))


def test_a_folder_is_refused_where_it_could_not_be_made(tmp_path):
    (tmp_path / "file").touch()
    check_folder(tmp_path / "a" / "b")
    assert not (tmp_path / "a").exists()
    assert f"{tmp_path / 'file'} is a file" in refusal(check_folder, tmp_path / "file")
    assert "Not a directory" in refusal(check_folder, tmp_path / "file" / "a")
    assert "cannot write" in refusal(check_folder, Path("/proc/x"))


def test_a_new_folder_must_not_exist(tmp_path):
    check_new_folder(tmp_path / "new")
    assert "exists; name a folder" in refusal(check_new_folder, tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    assert "exists; name a folder" in refusal(check_new_folder, tmp_path / "link")


def test_a_file_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "results.json"
    path.write_text("before, and longer")
    (tmp_path / "link.json").symlink_to(path)
    write_file(tmp_path / "link.json", b"after")
    assert path.read_bytes() == b"after" and (tmp_path / "link.json").is_symlink()
    assert sorted(item.name for item in tmp_path.iterdir()) == ["link.json", "results.json"]
    assert "No space left" in refusal(lambda at: write_file(at, b"after"), Path("/dev/full"))


def test_a_disk_that_is_nearly_full_is_named_with_what_is_needed(tmp_path):
    with pytest.raises(OutputError, match=r"MB left, and 1000000000000 MB are needed"):
        check_folder(tmp_path / "new", 10**18)
