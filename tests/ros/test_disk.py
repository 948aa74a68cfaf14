"""Whether results can be written is found out before a run."""

import pytest

from cooperative_isac_ros.disk import folder_fault


def test_a_folder_that_can_be_made_is_right_and_is_not_made(tmp_path):
    assert folder_fault(tmp_path / "a" / "b", 0) is None and not list(tmp_path.iterdir())


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    assert (
        folder_fault(tmp_path / "file" / "out", 0)
        == f"cannot be made: {tmp_path / 'file'} is not a folder"
    )


def test_a_full_disk_is_named(tmp_path):
    assert "MB left; a run needs at least 1000000000000 MB" in folder_fault(tmp_path, 10**18)


def test_a_folder_that_refuses_files_is_named(tmp_path, monkeypatch):
    def refuse(dir):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("cooperative_isac_ros.disk.tempfile.TemporaryFile", refuse)
    assert folder_fault(tmp_path, 0) == "cannot be written (Permission denied)"


@pytest.mark.parametrize("option", ["out", "bag"])
def test_a_run_does_not_begin_without_a_place_for_its_results(tmp_path, tiny, option):
    from rich.console import Console

    from cooperative_isac_ros.graph import GraphOptions
    from cooperative_isac_ros.run import run_scene

    (tmp_path / "file").write_text("")
    options = {"out": str(tmp_path / "new"), option: str(tmp_path / "file" / "x")}
    console = Console(width=400, record=True, file=open("/dev/null", "w"))
    assert run_scene(tiny, GraphOptions(**options), 1.0, console) == 1
    assert f"error: --{option}: {tmp_path / 'file' / 'x'} cannot be made" in console.export_text()
    assert not (tmp_path / "new").exists()
