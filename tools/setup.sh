#!/usr/bin/env bash
# Sets up the development environment: setup.sh VENV ROS_DISTRO. A second call with equal inputs does nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
venv="$PWD/$1"
distro="$2"
log="$venv/setup.log"
ros_packages=("rclpy[fastrtps]" common-interfaces rosidl-default-generators rosidl-default-runtime
    ament-cmake ament-package)
# The wheels above need these to build a message package, without depending on them.
ros_build_packages=(ament-cmake-gmock ament-cmake-gtest ament-cmake-include-directories ament-cmake-pytest
    ament-cmake-ros rosidl-core-generators)
case "$distro" in
    jazzy) ros_build_packages+=(python-cmake-module) ;;
    *) ros_build_packages+=(ament-cmake-ros-core) ;;
esac
colcon_packages=(colcon-core colcon-cmake colcon-ros colcon-defaults colcon-metadata colcon-output
    colcon-package-information colcon-package-selection colcon-recursive-crawl)

fail() { echo "set-up: $*" >&2; exit 1; }
say() { echo "set-up: $*"; }

# A sourced ROS 2 installation would mix its own libraries with those of the wheels.
unset PYTHONPATH AMENT_PREFIX_PATH CMAKE_PREFIX_PATH COLCON_PREFIX_PATH LD_LIBRARY_PATH ROS_VERSION \
    ROS_PYTHON_VERSION _ROS_WHEELS_BOOTSTRAP_COMPLETE MAKEFLAGS MFLAGS

pins() { sed "/# only /{/# only $distro\$/!d}" constraints.txt; }
files() { find "$@" -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum; }
fingerprint() { { echo "$venv $distro"; cat; } | sha256sum | cut -d' ' -f1; }
package_inputs() { pins; ls src/cooperative_isac_ros/nodes; files setup.cfg setup.py tools/setup.sh; }
message_inputs() { pins | grep -E '# only|^numpy=='; files ros2_ws/src/cooperative_isac_msgs tools/setup.sh; }

is_current() { [ -f "$venv/$1" ] && [ "$(cat "$venv/$1")" = "$2" ]; }

version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }

# A pyenv shim on the PATH may refuse to run, so each candidate is tried.
find_python() {
    local candidate
    for candidate in ${PYTHON:-python3.12 python3.11 python3}; do
        if [[ "$(version_of "$candidate")" =~ ^3\.1[12]$ ]]; then echo "$candidate"; return; fi
    done
    fail "found no Python 3.11 or 3.12 that runs (tried ${PYTHON:-python3.12, python3.11, python3})." \
        "Install one: 'apt install python3.12 python3.12-venv python3.12-dev', or the same with 3.11." \
        "One in an unusual place is named by PYTHON=/path/to/python."
}

require_python_parts() {
    local python="$1" version
    version=$(version_of "$python")
    "$python" -c 'import venv, ensurepip' 2>/dev/null ||
        fail "Python $version has no venv module. Install it: 'apt install python$version-venv'."
    [ -f "$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" ] ||
        fail "Python $version has no header files (Python.h). Install them: 'apt install python$version-dev'."
}

require_compiler() {
    command -v "${CC:-cc}" >/dev/null && command -v "${CXX:-c++}" >/dev/null ||
        fail "found no C and C++ compiler (${CC:-cc}, ${CXX:-c++}) to build the messages." \
            "Install them: 'apt install gcc g++'."
    command -v cmake >/dev/null ||
        fail "found no cmake to build the messages. Install it: 'apt install cmake'."
}

# The scripts of a moved environment call the old place; PYTHON=... may request another version.
is_usable() {
    "$venv/bin/python" -c '' 2>/dev/null && grep -qF "$venv/bin/python" "$venv/bin/pip" 2>/dev/null &&
        { [ -z "${PYTHON:-}" ] || [ "$(version_of "$PYTHON")" = "$(version_of "$venv/bin/python")" ]; }
}

make_venv() {
    if is_usable; then return; fi
    local python
    python=$(find_python)
    require_python_parts "$python"
    require_compiler
    say "making ${venv##*/} with $("$python" --version)"
    rm -rf "$venv"
    "$python" -m venv "$venv"
}

show_pip_progress() {
    awk '/^Collecting/ && ++n % 20 == 0 { print "set-up:   " n " packages found"; fflush() }
        /^Installing collected/ { print "set-up:   unpacking them"; fflush() }
        /^ERROR|^error/'
}

pip_install() {
    "$venv/bin/python" -m pip install --disable-pip-version-check --no-color \
        --constraint "$venv/constraints.txt" "$@" 2>&1 | tee -a "$log" | show_pip_progress ||
        fail "pip could not install the packages; see $log. Is the package index reachable?"
}

install_packages() {
    say "installing pinned packages (1 to 3 minutes the first time)"
    pins > "$venv/constraints.txt"
    : > "$log"
    pip_install setuptools wheel
    pip_install "${ros_packages[@]/#/ros-$distro-}" "${ros_build_packages[@]/#/ros-$distro-}" \
        "${colcon_packages[@]}" "$@"
}

# The CMake files of the wheels name the include folders of the machine on which they were built.
repair_cmake_paths() {
    local include site
    include=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("include"))')
    site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    find "$venv/share" -name '*.cmake' -exec sed -i -E \
        -e "s#/opt/python/[^;\"]*/include/python[0-9.]+#$include#g" \
        -e "s#/opt/python/[^;\"]*/site-packages#$site#g" {} +
}

build_messages() {
    say "building the messages with colcon (about a minute)"
    (
        cd ros2_ws
        export PATH="$venv/bin:$PATH" AMENT_PREFIX_PATH="$venv" CMAKE_PREFIX_PATH="$venv"
        MAKEFLAGS="-j$(nproc)" \
        colcon --log-base "$venv/log" build --base-paths src --merge-install --install-base "$venv" \
            --build-base "$venv/build" --event-handlers console_cohesion- --cmake-args -DBUILD_TESTING=OFF \
            -DCMAKE_BUILD_TYPE=Release -DPython3_EXECUTABLE="$venv/bin/python" 2>&1 |
            sed -e "/doesn't contain any 'local_setup/d" -e 's/^/set-up:   /'
    ) || fail "the messages could not be built; see the compiler's output in $venv/log/latest_build."
    "$venv/bin/python" -c 'from cooperative_isac_msgs.msg import Frame; Frame()' ||
        fail "the messages were built but Python cannot load them; see $venv/log/latest_build."
}

exec 9< tools/setup.sh
if command -v flock >/dev/null; then flock 9; fi
make_venv
packages=$(package_inputs | fingerprint)
if ! is_current .packages "$packages"; then
    rm -f "$venv/.packages"
    install_packages --no-build-isolation --editable ".[test,docs]"
    repair_cmake_paths
    echo "$packages" > "$venv/.packages"
fi
messages=$(message_inputs | fingerprint)
if ! is_current .messages "$messages"; then
    require_compiler
    rm -rf "$venv/.messages" "$venv/build/cooperative_isac_msgs"
    build_messages
    echo "$messages" > "$venv/.messages"
fi
say "${venv##*/} is ready (ROS 2 $distro, $("$venv/bin/python" --version))"
