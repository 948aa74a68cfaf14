"""The static world against closed forms and plain constructions."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cooperative_isac.channel.echo import apply_paths
from cooperative_isac.channel.gain import friis_amplitude
from cooperative_isac.channel.paths import draw_paths
from cooperative_isac.channel.reflection import copolar_coefficient, fresnel
from cooperative_isac.channel.static import channel_matrix
from cooperative_isac.channel.world import (
    line_of_sight,
    specular_reflection,
    static_matrix,
    static_paths,
)
from cooperative_isac.pipeline import paths_to, receive_echo, transmit
from cooperative_isac.scene.draw import scene_targets
from cooperative_isac.scene.file.config import load_scene, parse_scene
from cooperative_isac.scene.model import TargetClass, TargetState
from cooperative_isac.scene.world import Material, Surface

TILTED = (Path(__file__).resolve().parents[2] / "scenes" / "tilted.yaml").read_text()
CONDUCTOR = Material(1 + 0j, 0.0, 0.0)
GLASS = Material(5.24 - 0.3j, None, 0.0)
LIGHT_MPS = 299_792_458.0


def world_scene(world, clocks=False):
    text = TILTED + f"world: {world}\n"
    if not clocks:
        text = text.replace(
            "  timing_offset_std_s: 50.0e-9\n  frequency_offset_std_hz: 2000.0\n", ""
        )
    return parse_scene(text, Path("world.yaml"))


def silent(scene):
    return replace(scene, propagation=replace(scene.propagation, noise_power_w=1e-40))


def levels(paths, index, site, receiver):
    """Complex amplitudes of one transmitter's paths between single elements."""
    return paths.amplitude[paths.transmitter == index] / np.sqrt(site.num_ant * receiver.num_ant)


def test_the_line_of_sight_is_that_of_friis():
    scene = world_scene("{}")
    receiver = scene.receivers[1]
    paths = static_paths(scene, receiver)
    assert len(paths.amplitude) == 2 and not paths.reflected.any()
    for index, site in enumerate(scene.transmitters):
        away = receiver.position_m - site.position_m
        distance = np.linalg.norm(away)
        wave = scene.grid.wavelength_m
        expected = wave / (4 * np.pi * distance) * np.exp(-2j * np.pi * distance / wave)
        assert levels(paths, index, site, receiver) == pytest.approx([expected])
        assert paths.delay_s[index] == pytest.approx(distance / LIGHT_MPS)
        assert np.allclose(paths.aod[index], away / distance) and np.allclose(
            paths.aoa[index], -away / distance
        )


def test_two_rays_over_a_conducting_ground():
    scene = world_scene(
        "{ground: {height_m: -1.5, material: {reflection_loss_db: 0, scattering: 0}}}"
    )
    receiver = scene.receivers[0]
    site = scene.transmitters[0]
    paths = static_paths(scene, receiver)
    across = np.linalg.norm((receiver.position_m - site.position_m)[:2])
    heights = site.position_m[2] + 1.5, receiver.position_m[2] + 1.5
    direct = np.hypot(across, heights[0] - heights[1])
    bounced = np.hypot(across, heights[0] + heights[1])
    wave = scene.grid.wavelength_m
    # A vertical field is reflected by a conductor without a change of its sign.
    expected = [wave / (4 * np.pi * d) * np.exp(-2j * np.pi * d / wave) for d in (direct, bounced)]
    found = levels(paths, 0, site, receiver)
    assert found == pytest.approx(np.array(expected), rel=1e-6)
    assert list(paths.reflected[paths.transmitter == 0]) == [False, True]


@pytest.mark.parametrize("cosine", [1.0, 0.6, 0.05])
def test_fresnel_by_snell(cosine):
    # The textbook form with both angles, for a real permittivity.
    index = np.sqrt(5.24)
    incidence = np.arccos(cosine)
    inside = np.arcsin(np.sin(incidence) / index)
    perpendicular = (cosine - index * np.cos(inside)) / (cosine + index * np.cos(inside))
    parallel = (index * cosine - np.cos(inside)) / (index * cosine + np.cos(inside))
    found = fresnel(Material(5.24 + 0j, None, 0.0), np.array(cosine))
    assert found[0] == pytest.approx(perpendicular) and found[1] == pytest.approx(parallel)


def test_no_vertical_field_is_reflected_at_brewsters_angle():
    angle = np.arctan(np.sqrt(5.24))
    assert abs(fresnel(Material(5.24 + 0j, None, 0.0), np.array(np.cos(angle)))[1]) < 1e-12


def test_polarization_of_ground_and_wall():
    ground = Surface(np.zeros(3), np.array([9.0, 0, 0]), np.array([0, 9.0, 0]), GLASS)
    wall = Surface(np.zeros(3), np.array([9.0, 0, 0]), np.array([0, 0, 9.0]), GLASS)
    down = np.array([0.8, 0, -0.6])
    up = np.array([0.8, 0, 0.6])
    assert copolar_coefficient(ground, down, up) == pytest.approx(fresnel(GLASS, np.array(0.6))[1])
    onto = np.array([0.8, 0.6, 0])
    off = np.array([0.8, -0.6, 0])
    assert copolar_coefficient(wall, onto, off) == pytest.approx(fresnel(GLASS, np.array(0.6))[0])


def test_scattering_weakens_the_reflection_by_what_it_takes():
    rough = replace(GLASS, scattering=0.6)
    surfaces = [
        Surface(np.zeros(3), np.array([9.0, 0, 0]), np.array([0, 9.0, 0]), kind)
        for kind in (GLASS, rough)
    ]
    smooth, left = (
        copolar_coefficient(s, np.array([0.8, 0, -0.6]), np.array([0.8, 0, 0.6])) for s in surfaces
    )
    assert left / smooth == pytest.approx(0.8)


def test_a_slanted_wall_reflects_where_the_shortest_way_over_it_is():
    # Fermat: of all ways over points of the plane the specular one is the shortest, found here by a
    # dense search.
    scene = world_scene("{}")
    site = scene.transmitters[0]
    receiver = scene.receivers[0]
    middle = np.array([40.0, 20.0, 12.0])
    toward = [
        (end.position_m - middle) / np.linalg.norm(end.position_m - middle)
        for end in (site, receiver)
    ]
    normal = sum(toward) / np.linalg.norm(sum(toward))
    first = np.cross(normal, [1.0, 2.0, 3.0])
    first *= 30 / np.linalg.norm(first)
    second = np.cross(normal, first)
    wall = Surface(middle - 0.4 * first - 0.7 * second, first, second, CONDUCTOR)
    scene = replace(scene, world=replace(scene.world, walls=(wall,)))
    paths = specular_reflection(scene, site, receiver, wall)
    length = paths.length_m[0]
    aod = paths.aod[0]
    aoa = paths.aoa[0]
    shares = np.linspace(0, 1, 801)
    points = wall.corner_m + shares[:, None, None] * first + shares[None, :, None] * second
    ways = sum(np.linalg.norm(points - end.position_m, axis=-1) for end in (site, receiver))
    best = points.reshape(-1, 3)[np.argmin(ways)]
    assert length == pytest.approx(ways.min(), abs=1e-3)
    for end, direction in ((site, aod), (receiver, aoa)):
        toward = (best - end.position_m) / np.linalg.norm(best - end.position_m)
        assert np.allclose(direction, toward, atol=5e-3)
    assert np.linalg.norm(best - site.position_m) < length


def test_a_box_blocks_the_line_of_sight_and_a_box_beside_it_does_not():
    scene = world_scene(
        "{boxes: [{low_m: [-6, 15, 0], high_m: [-1, 20, 19], material: {scattering: 0}}]}"
    )
    receiver = scene.receivers[0]
    assert len(line_of_sight(scene, scene.transmitters[0], receiver).length_m) == 0
    assert len(line_of_sight(scene, scene.transmitters[1], receiver).length_m) == 1


def test_diffuse_power_is_lamberts_integral():
    # sum of S^2 R lambda^2 cos cos dA / ((4 pi) (4 pi) pi d^2 d^2) over a wall, here by a fine sum
    # with R = 1.
    material = "{reflection_loss_db: 0, scattering: 0.5}"
    wall = f"{{from_m: [10, 50], to_m: [30, 50], height_m: [0, 10], material: {material}}}"
    powers = []
    for tile in (2.0, 1.0):
        scene = world_scene(f"{{line_of_sight: false, walls: [{wall}], tile_m: {tile}}}")
        paths = static_paths(scene, scene.receivers[0])
        found = levels(paths, 0, scene.transmitters[0], scene.receivers[0])
        specular = np.abs(found) > 0.5 * friis_amplitude(scene.grid.wavelength_m, 150.0)
        powers.append(np.sum(np.abs(found[~specular]) ** 2))
    x, z = np.meshgrid(10 + 0.1 * np.arange(200) + 0.05, 0.1 * np.arange(100) + 0.05)
    points = np.stack([x, np.full_like(x, 50.0), z], axis=-1)
    away = [points - end.position_m for end in (scene.transmitters[0], scene.receivers[0])]
    distances = [np.linalg.norm(a, axis=-1) for a in away]
    cosines = [np.abs(a[..., 1]) / d for a, d in zip(away, distances)]
    spread = 0.25 * scene.grid.wavelength_m**2 / (16 * np.pi**3)
    expected = spread * np.sum(cosines[0] * cosines[1] / (distances[0] * distances[1]) ** 2) * 0.01
    assert powers == pytest.approx([expected, expected], rel=0.03)


def test_the_world_depends_on_the_seed_not_on_the_frame():
    scene = load_scene("yard")
    receiver = scene.receivers[2]
    first = static_paths(scene, receiver)
    assert np.array_equal(first.amplitude, static_paths(scene, receiver).amplitude)
    other = static_paths(replace(scene, seed=2), receiver)
    assert np.allclose(np.abs(other.amplitude), np.abs(first.amplitude))
    diffuse = first.reflected & (np.abs(first.amplitude) < np.abs(first.amplitude).max() / 30)
    assert not np.allclose(other.amplitude[diffuse], first.amplitude[diffuse])


def test_the_matrix_is_cached_for_its_world():
    scene = world_scene("{ground: {height_m: -1.5}}")
    receiver = scene.receivers[0]
    kept = static_matrix(scene, receiver)
    assert static_matrix(replace(scene, update_rate_hz=2.0), receiver) is kept
    moved = replace(receiver, position_m=receiver.position_m + [0, 0, 1])
    assert not np.allclose(static_matrix(scene, moved), kept)
    assert np.array_equal(kept, channel_matrix(scene, receiver, static_paths(scene, receiver)))
    assert static_matrix(replace(scene, world=None), receiver) is None


def test_clock_offsets_apply_to_targets_and_world():
    scene = silent(world_scene("{ground: {height_m: -1.5}}", clocks=True))
    receiver = scene.receivers[0]
    frame = transmit(scene, 3)
    target = TargetState(
        "a", TargetClass.UAV, np.array([20.0, 18.0, 9.0]), np.array([3.0, 1.0, 0.0])
    )
    found = receive_echo(scene, frame, receiver.name, [target])
    # the same by applying every static path by itself, with the same draws
    paths, generator = paths_to(scene, 3, receiver, [target])
    state = generator.bit_generator.state
    static = static_paths(scene, receiver)
    expected = apply_paths(scene, frame, receiver, paths, generator)
    generator.bit_generator.state = state
    expected += apply_paths(scene, frame, receiver, static, generator)
    assert np.allclose(found, expected, atol=2e-4 * np.abs(expected).max())
    still = silent(world_scene("{ground: {height_m: -1.5}}"))
    assert not np.allclose(
        found, receive_echo(still, frame, receiver.name, [target]), atol=0.1 * np.abs(found).max()
    )


def test_blocked_target_paths_are_missing_and_change_no_other():
    clear = world_scene("{}")
    walled = world_scene("{walls: [{from_m: [-6, 15], to_m: [15, 15], height_m: [0, 19]}]}")
    targets = [
        TargetState(name, TargetClass.UAV, np.array(place), np.zeros(3))
        for name, place in (("behind", [5.0, 25.0, 8.0]), ("free", [30.0, 5.0, 8.0]))
    ]
    nothing = np.zeros((0, 3))
    before, after = (
        draw_paths(scene, scene.receivers[1], targets, nothing, np.random.default_rng(5))
        for scene in (clear, walled)
    )
    pairs = list(zip(before.transmitter, before.scatterer))
    left = list(zip(after.transmitter, after.scatterer))
    assert pairs == [(0, 0), (0, 1), (1, 0), (1, 1)] and left == [(0, 1), (1, 0), (1, 1)]
    assert np.array_equal(after.amplitude, before.amplitude[[pairs.index(pair) for pair in left]])


def test_ground_reflection_is_the_path_from_the_image():
    material = "{reflection_loss_db: 0, scattering: 0}"
    ground = f"{{ground: {{material: {material}}}, target_reflections: true}}"
    scene = world_scene(ground)
    target = TargetState(
        "a", TargetClass.UAV, np.array([20.0, 18.0, 9.0]), np.array([3.0, 1.0, -2.0])
    )
    site = scene.transmitters[0]
    receiver = scene.receivers[0]
    paths = draw_paths(scene, receiver, [target], np.zeros((0, 3)), np.random.default_rng(6))
    chosen = np.flatnonzero(paths.transmitter == 0)
    assert list(paths.reflected[chosen]) == [False, True, True]
    for place, ends in zip(
        chosen[1:],
        (
            (site.position_m * [1, 1, -1], receiver.position_m),
            (site.position_m, receiver.position_m * [1, 1, -1]),
        ),
    ):
        lengths = [np.linalg.norm(target.position_m - end) for end in ends]
        later = [
            np.linalg.norm(target.position_m + 1e-6 * target.velocity_mps - end) for end in ends
        ]
        assert paths.delay_s[place] * LIGHT_MPS == pytest.approx(sum(lengths))
        shortening = (sum(lengths) - sum(later)) / 1e-6
        assert paths.doppler_hz[place] == pytest.approx(
            shortening / scene.grid.wavelength_m, rel=1e-4
        )
    downward = paths.aod[chosen[1]]
    image = target.position_m * [1, 1, -1] - site.position_m
    assert np.allclose(downward, image / np.linalg.norm(image)) and np.allclose(
        paths.aod[chosen[2]], paths.aod[chosen[0]]
    )


def test_levels_of_targets_and_line_of_sight_in_the_yard():
    scene = load_scene("yard")
    scale = scene.waveform.power_w * scene.grid.num_symbols / 32 / scene.propagation.noise_power_w
    uav = []
    direct = []
    for number in range(0, 100, 4):
        for site in scene.receivers:
            paths, _ = paths_to(scene, number, site, scene_targets(scene, number / 5))
            for pair in {(t, s) for t, s in zip(paths.transmitter, paths.scatterer) if s < 2}:
                own = (paths.transmitter == pair[0]) & (paths.scatterer == pair[1])
                uav.append(10 * np.log10(scale * abs(paths.amplitude[own].sum()) ** 2))
    for site in scene.receivers:
        paths = static_paths(scene, site)
        direct += list(10 * np.log10(scale * np.abs(paths.amplitude[~paths.reflected]) ** 2))
    assert 25 < np.median(uav) < 35
    assert len(direct) == 6 and 50 < np.median(direct) - np.median(uav) < 60
