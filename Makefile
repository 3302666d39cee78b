# Thin names for what people and CI run. `make` lists them.
IN_ENV := scripts/in_env
PYTHON_FILES := espnet_ros examples test launch scripts/relocate_cmake.py setup.py
# What runs on a robot stays within this Python.
ROBOT_PYTHON := 3.8
# Folders with tests of the fast lane, which a robot runs, too.
ROBOT_TESTS = $(shell git ls-files 'test/*.py' ':!test/ros/*' ':!test/bench/*')
# Test files that run at a time.
JOBS ?= 2
PYTEST := python -m pytest -n $(JOBS) --dist loadfile

.PHONY: help setup demo test test-fast test-ros bench-check lint format docs bench clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 13

setup: ## .venv/ with pinned packages and the messages built into install/; seconds when nothing changed
	@scripts/setup

demo: setup ## drive through a made-up street, or IMAGES=, VIDEO= or BAG=; and SEED=, ALPHAS=, WEIGHTS=, LABELS=, BACKEND=, RATE=, LIMIT=
	@$(IN_ENV) espnet_ros demo $(if $(IMAGES),--images "$(IMAGES)") $(if $(LABELS),--labels "$(LABELS)") \
	  $(if $(VIDEO),--video "$(VIDEO)") $(if $(BAG),--bag "$(BAG)") $(if $(WEIGHTS),--weights "$(WEIGHTS)") \
	  $(if $(BACKEND),--backend $(BACKEND)) $(if $(RATE),--rate $(RATE)) $(if $(LIMIT),--limit $(LIMIT)) \
	  $(if $(SEED),--seed $(SEED)) $(if $(ALPHAS),--alphas $(ALPHAS))

test: setup ## every test; TESTS= chooses files, JOBS= how many run at a time
	@$(IN_ENV) $(PYTEST) $(TESTS)

test-fast: ## tests without ROS, processes and waiting, in a minute; needs no setup after `pip install -e .[test]`
	@$(if $(wildcard install/.sources),$(IN_ENV)) $(PYTEST) -m fast $(TESTS)

test-ros: setup ## tests that use ROS
	@$(IN_ENV) $(PYTEST) -m ros $(TESTS)

bench-check: setup ## measure what docs/ promises about speed, as ratios; fails where it is missed by far
	@$(IN_ENV) python test/bench/check.py

lint: setup ## ruff, mypy strict, spelling, and Python $(ROBOT_PYTHON) syntax for what runs on a robot
	@$(IN_ENV) ruff check $(PYTHON_FILES)
	@$(IN_ENV) ruff format --check $(PYTHON_FILES)
	@$(IN_ENV) mypy
	@$(IN_ENV) mypy examples
	@$(IN_ENV) codespell
	@$(IN_ENV) vermin --target=$(ROBOT_PYTHON)- --no-tips --violations espnet_ros examples launch setup.py $(ROBOT_TESTS)

format: setup ## rewrite the layout of the code
	@$(IN_ENV) ruff check --fix $(PYTHON_FILES)
	@$(IN_ENV) ruff format $(PYTHON_FILES)

docs: setup ## regenerate config/default.yaml, docs/parameters.md and the table in README.md
	@$(IN_ENV) python -m espnet_ros.config.documents

bench: setup ## our engines beside the published pipeline and the usual runtimes; IMAGES=, SIZES=, ALPHAS=, JSON=, PLOT=
	@$(IN_ENV) espnet_ros benchmark $(if $(IMAGES),--images "$(IMAGES)") $(if $(SIZES),--sizes $(SIZES)) \
	  $(if $(ALPHAS),--alpha $(ALPHAS)) $(if $(JSON),--json "$(JSON)") $(if $(PLOT),--plot "$(PLOT)")

clean: ## remove what setup made
	rm -rf .venv build install log demo_output
