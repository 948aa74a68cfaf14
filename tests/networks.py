"""A small network for tests: two bands, and stations at rest, on the road and in the air.

It has no world, and ideal clocks.
"""

from pathlib import Path

from cooperative_isac.scene.file.config import parse_scene

NETWORK = """
dimension: 3
update_rate_hz: 10.0
area: {low_m: [0, 0, 0.5], high_m: [60, 60, 30]}
bands:
  - name: high
    carrier_hz: 24.0e9
    subcarrier_spacing_hz: 120.0e3
    num_subcarriers: 32
    num_symbols: 16
    cyclic_prefix_s: 1.2e-6
    power_dbm: 30
  - name: low
    carrier_hz: 5.9e9
    subcarrier_spacing_hz: 30.0e3
    num_subcarriers: 32
    num_symbols: 16
    cyclic_prefix_s: 2.3e-6
    power_dbm: 30
    frame_rate_hz: 5
stations:
  - name: west
    position_m: [-3, 30, 10]
    antennas:
      - {band: high, array: {kind: planar, num_horizontal: 2, num_vertical: 2}}
      - {band: low, array: {kind: planar, num_horizontal: 2, num_vertical: 2}}
  - name: east
    position_m: [63, 32, 12]
    orientation: {yaw_deg: 180}
    antennas:
      - {band: high, array: {kind: planar, num_horizontal: 2, num_vertical: 2}}
      - {band: low, duplex: rx, array: {kind: planar, num_horizontal: 2, num_vertical: 2}}
  - name: car
    role: ue
    motion: {kind: constant_velocity, position_m: [5, 5, 2], velocity_mps: [0, 5, 0], duration_s: 4}
    antennas: [{band: high, duplex: rx, array: {kind: planar, num_horizontal: 2, num_vertical: 2}}]
  - name: drone
    motion:
      {kind: constant_velocity, position_m: [30, 2, 25], velocity_mps: [2, 6, -1], duration_s: 4}
    antennas: [{band: high, array: {kind: planar, num_horizontal: 2, num_vertical: 2}}]
users: {num_users: 2}
draw: {num_targets: 2, max_speed_mps: 10}
sensing: {max_speed_mps: 15}
"""

# Key of a scene with radar cross sections, without a world.
RADAR = "propagation: {model: radar_equation}\n"
TARGETS = """
targets:
  - name: van
    class: vehicle
    motion:
      {kind: constant_velocity, position_m: [20, 20, 1], velocity_mps: [3, 4, 0], duration_s: 4}
  - name: bird
    class: uav
    rcs_dbsm: -13
    motion:
      {kind: constant_velocity, position_m: [40, 35, 15], velocity_mps: [-5, 2, 1], duration_s: 4}
"""


def network(*changes, extra=""):
    """The scene with replacements (before, after) in its text, and further keys at its end."""
    text = NETWORK
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    return parse_scene(text + extra, Path("network.yaml"))
