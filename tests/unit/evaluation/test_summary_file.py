"""Summary files are valid JSON with any values, and are written in one step."""

import json
import math

import numpy as np
import pytest

from cooperative_isac.evaluation.summary_file import write_summary


def refuse(word):
    raise AssertionError(f"{word} is no JSON")


def test_numbers_that_are_not_finite_are_null(tmp_path):
    write_summary(
        tmp_path / "summary.json",
        {
            "a": {"b": math.nan, "c": np.float64(np.inf), "d": (1.5, -math.inf)},
            "e": "x",
            "f": None,
            "g": 3,
        },
    )
    found = json.loads((tmp_path / "summary.json").read_text(), parse_constant=refuse)
    assert found == {"a": {"b": None, "c": None, "d": [1.5, None]}, "e": "x", "f": None, "g": 3}


def test_a_failed_write_keeps_the_old_file(tmp_path):
    write_summary(tmp_path / "summary.json", {"frames": 1})
    with pytest.raises(TypeError):
        write_summary(tmp_path / "summary.json", {"frames": object()})
    assert json.loads((tmp_path / "summary.json").read_text()) == {"frames": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["summary.json"]
