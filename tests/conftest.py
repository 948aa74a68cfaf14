"""The environment of every test: one thread per process, ROS 2 on this host only, a domain of its
own per worker.
"""

import os
import zlib
from pathlib import Path

from hypothesis import settings

ROOT = Path(__file__).resolve().parents[1]
DOMAINS = 100  # domains 1 to 100 keep clear of Linux's ephemeral ports


def ros_domain() -> int:
    """Domain of this worker: apart from the other workers, and nearly always from other test runs
    on this host.
    """
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    return 1 + (zlib.crc32(run.encode()) + worker) % DOMAINS


# Set when this file is read, before any test module imports numpy or rclpy.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.update(
    ROS_AUTOMATIC_DISCOVERY_RANGE="LOCALHOST",
    ROS_DOMAIN_ID=str(ros_domain()),
    ROS_PYTHON_CHECK_FIELDS="1",
    ROS_LOG_DIR=str(ROOT / ".pytest_cache" / "ros_log"),
)

settings.register_profile("reproducible", deadline=None, derandomize=True)
settings.load_profile("reproducible")
