"""Rows and warnings of `isac check` about range migration, and scenes that cannot compensate it."""

from dataclasses import replace

import pytest

from cooperative_isac.evaluation.migration_report import migration_rows, migration_warnings
from cooperative_isac.scene.file.config import load_scene, parse_scene, scene_path
from cooperative_isac.schemes.registry import check_scheme, unused_settings


def compact(num_symbols, handling="ignore", sensing=""):
    """The compact scene with a number of symbols, what receivers do, and more keys of sensing."""
    path = scene_path("cell_free_compact")
    text = path.read_text().replace("num_symbols: 64", f"num_symbols: {num_symbols}")
    keys = f"  range_migration: {handling}\n{sensing}  min_speed_mps"
    return parse_scene(text.replace("  min_speed_mps", keys), path)


def test_migration_is_speed_times_time_over_the_resolution():
    # 2 * 28.3 m/s for 4096 symbols of 4 * (1 / 240 kHz + 1.04 us), over c / 61.44 MHz.
    cells = 2 * 28.3 * 4096 * 4 * (1 / 240e3 + 1.04e-6) / (299_792_458 / 61.44e6)
    (label, text), *others = migration_rows(compact(4096), ["local_ml"])
    assert label == "range migration" and not others
    assert text.startswith(f"{cells:.2g} range cells at sensing.max_speed_mps (a loss of 1.2 dB)")
    assert text.endswith("simulated, receivers ignore it")


def test_warnings_name_what_compensates():
    (line,) = migration_warnings(compact(4096), ["local_ml"])
    assert "in a frame targets move by up to 0.99 range cells" in line
    assert "set sensing.range_migration: compensate" in line
    assert not list(migration_warnings(compact(4096, "compensate"), ["local_ml"]))
    (line,) = migration_warnings(compact(4096, "compensate"), ["raw_ml", "music"])
    assert "music and raw_ml count with constant delays: use scheme local_ml" in line


@pytest.mark.parametrize(
    ("schemes", "handling", "words"),
    [
        (["local_ml"], "compensate", "receivers compensate it"),
        (["local_ml"], "ignore", "receivers ignore it"),
        (["music"], "compensate", "receivers ignore it"),
        (["local_ml", "raw_ml"], "compensate", "receivers ignore it"),
    ],
)
def test_rows_say_what_the_schemes_in_use_do(schemes, handling, words):
    (row,) = migration_rows(compact(4096, handling), schemes)
    assert row[1].endswith(f"simulated, {words}")


def test_echoes_without_migration_are_warned_of_where_receivers_compensate_it():
    def without_echoes(handling):
        scene = compact(4096, handling)
        return replace(scene, propagation=replace(scene.propagation, range_migration=False))

    assert not list(migration_warnings(without_echoes("ignore"), ["local_ml"]))
    assert not list(migration_warnings(without_echoes("ignore"), ["music"]))
    (line,) = migration_warnings(without_echoes("compensate"), ["local_ml"])
    assert "simulated echoes have none; leave it out, or remove" in line
    assert line.endswith("propagation.range_migration: false")
    (row,) = migration_rows(without_echoes("ignore"), ["local_ml"])
    assert row[1].endswith("left out of simulated echoes, receivers ignore it")


def test_short_frames_have_neither_row_nor_warning():
    scene = compact(64)
    assert not migration_rows(scene, ["local_ml"])
    assert not list(migration_warnings(scene, ["raw_ml"]))

    # Unless their echoes have it all the same.
    propagation = replace(scene.propagation, range_migration=True)
    (row,) = migration_rows(replace(scene, propagation=propagation), ["local_ml"])
    assert "simulated" in row[1]


def test_bands_are_named():
    scene = load_scene("multi_bs")
    path = scene_path("multi_bs")
    text = path.read_text().replace("symbol_stride: 24", "symbol_stride: 12")
    long = parse_scene(text.replace("num_symbols: 32", "num_symbols: 1024"), path)
    assert not migration_rows(scene, ["local_ml"])
    (row,) = migration_rows(long, ["local_ml"])
    assert row[0] == "range migration on high"
    (line,) = migration_warnings(long, ["local_ml"])
    assert "in a frame of band 'high' targets move by" in line


def test_a_scheme_without_compensation_says_so():
    (line,) = unused_settings(["raw_ml"], compact(64, "compensate"))
    assert "sensing.range_migration is compensate, and raw_ml does not use it" in line
    assert "use scheme local_ml" in line


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ("  candidate_bits: 1000\n", "weak candidates"),
        ("  synchronization: active_observation\n", "synchronization: active_observation"),
    ],
)
def test_what_is_fitted_with_constant_delays_is_refused(keys, reason):
    check_scheme("local_ml", compact(64, "compensate"))
    with pytest.raises(ValueError, match=f"sensing.range_migration: .* this scene has .*{reason}"):
        check_scheme("local_ml", compact(64, "compensate", keys))


def test_suppressed_static_paths_of_moving_stations_are_refused():
    path = scene_path("bs_ue")
    keys = "sensing:\n  range_migration: compensate"
    text = path.read_text().replace("\nsensing:", f"\n{keys}")

    # By default the `world` is the cause, and without the suppression it would hide the targets.
    cause = "project, the default beside its `world`, and stations that move: leave range_migration"
    with pytest.raises(ValueError, match=cause):
        check_scheme("local_ml", parse_scene(text, path))

    # As in the file.
    text = text.replace(keys, f"{keys}\n  static_paths: project")
    cause = "project and stations that move: leave the key out, or these"
    with pytest.raises(ValueError, match=cause):
        check_scheme("local_ml", parse_scene(text, path))


def test_bodies_are_refused():
    scene = compact(64, "compensate")
    bodies = load_scene("yard").bodies
    with pytest.raises(ValueError, match="this scene has bodies"):
        check_scheme("local_ml", replace(scene, bodies=bodies))


def test_other_values_are_refused():
    with pytest.raises(ValueError, match=r"sensing\.range_migration"):
        compact(64, "yes")
