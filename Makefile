# Targets for a machine without ROS 2 (where it is installed, see README.md):
#   setup     creates the environment .venv and builds the messages
#   check     format, lint and types of the code
#   test      check, then the tests; options in PYTEST_ARGS
#   coverage  tests with a coverage report
#   docs      the documentation site in build/docs, without the network; a broken link is an error
#   scene     runs SCENE for DURATION seconds
#   clean     removes the environment, builds and caches
ROS_DISTRO ?= jazzy
WHEEL_DISTROS := jazzy kilted
ifeq ($(filter $(ROS_DISTRO),$(WHEEL_DISTROS))$(filter clean,$(MAKECMDGOALS)),)
SOURCED := $(if $(findstring environment,$(origin ROS_DISTRO)), (from your environment: is a ROS 2 sourced?))
$(error ROS_DISTRO is '$(ROS_DISTRO)'$(SOURCED), but ROS 2 comes as Python wheels for: $(WHEEL_DISTROS). \
Say 'make ROS_DISTRO=jazzy $(or $(MAKECMDGOALS),setup)', or build with colcon as README.md describes)
endif

VENV := $(if $(filter jazzy,$(ROS_DISTRO)),.venv,.venv-$(ROS_DISTRO))
SCENE ?= config/scenes/campus.yaml
DURATION ?= 30
PYTEST_ARGS ?=
# Processes of pytest: one more than the processors of the smallest supported machine, since tests of
# live scenes mostly wait.
IN_PARALLEL := --numprocesses 3 --dist worksteal

# Variables of a sourced ROS 2 installation, whose libraries must not be mixed with the wheels.
unexport PYTHONPATH AMENT_PREFIX_PATH CMAKE_PREFIX_PATH COLCON_PREFIX_PATH LD_LIBRARY_PATH
unexport ROS_VERSION ROS_PYTHON_VERSION RMW_IMPLEMENTATION _ROS_WHEELS_BOOTSTRAP_COMPLETE
export ROS_DISTRO

.PHONY: setup check test coverage docs scene clean
setup:
	@tools/setup.sh $(VENV) $(ROS_DISTRO)

check: setup
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/pyrefly check

test: check
	$(VENV)/bin/python -m pytest $(IN_PARALLEL) $(PYTEST_ARGS)

coverage: setup
	$(VENV)/bin/python -m pytest $(IN_PARALLEL) --cov --cov-report=term $(PYTEST_ARGS)

docs: setup
	$(VENV)/bin/python tools/reference.py
	$(VENV)/bin/python -m sphinx --fail-on-warning --keep-going --quiet --write-all \
		--builder html --conf-dir docs . build/docs
	@echo "docs: build/docs/index.html"

scene: setup
	$(VENV)/bin/isac run $(SCENE) --duration $(DURATION)

clean:
	rm -rf .venv .venv-* build/docs docs/reference/api ros2_ws/build ros2_ws/install ros2_ws/log
	rm -rf .pytest_cache .hypothesis .coverage .coverage.* src/*.egg-info
