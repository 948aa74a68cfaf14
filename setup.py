"""ament_python build: what goes where under share/ and which executables there are."""

from pathlib import Path

from setuptools import setup

PACKAGE = "cooperative_isac"
NODES = sorted(path.stem for path in Path(f"src/{PACKAGE}_ros/nodes").glob("[a-z]*.py"))
SHARED_FOLDERS = ("config", "launch")


def shared_files():
    """Files of the shared folders as data_files pairs, each in its own folder under share/."""
    folders = [
        path
        for top in SHARED_FOLDERS
        for path in (Path(top), *Path(top).rglob("*"))
        if path.is_dir()
    ]
    return [
        (
            f"share/{PACKAGE}/{folder}",
            [str(path) for path in sorted(folder.iterdir()) if path.is_file()],
        )
        for folder in folders
    ]


setup(
    python_requires=">=3.11",  # in setup.cfg it becomes an object that colcon cannot read
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
        *shared_files(),
    ],
    entry_points={
        "console_scripts": [
            f"isac = {PACKAGE}.cli:main",
            *(f"{node} = {PACKAGE}_ros.start:main" for node in NODES),
        ],
    },
)
