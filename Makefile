# Thin names for what people and CI run. `make` lists them.
IN_ENV := scripts/in_env
PYTHON_FILES := espnet_ros test launch scripts/relocate_cmake.py setup.py
# What runs on a robot stays within this Python.
ROBOT_PYTHON := 3.8
# Tests that start no node and hold nothing to a time: two files at once. The others want the machine for themselves.
SIDE_BY_SIDE := $(addprefix test/,board costmap evaluation governor model runtime synthetic telemetry training) \
  $(filter-out test/test_tiling.py test/test_cli.py test/test_segment.py,$(wildcard test/test_*.py))

.PHONY: help setup demo test lint format docs bench clean

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: ## .venv/ with pinned packages and the messages built into install/; seconds when nothing changed
	@scripts/setup

demo: setup ## drive through a made-up street, or IMAGES=, VIDEO= or BAG=; and SEED=, ALPHAS=, WEIGHTS=, LABELS=, BACKEND=, RATE=, LIMIT=
	@$(IN_ENV) espnet_ros demo $(if $(IMAGES),--images "$(IMAGES)") $(if $(LABELS),--labels "$(LABELS)") \
	  $(if $(VIDEO),--video "$(VIDEO)") $(if $(BAG),--bag "$(BAG)") $(if $(WEIGHTS),--weights "$(WEIGHTS)") \
	  $(if $(BACKEND),--backend $(BACKEND)) $(if $(RATE),--rate $(RATE)) $(if $(LIMIT),--limit $(LIMIT)) \
	  $(if $(SEED),--seed $(SEED)) $(if $(ALPHAS),--alphas $(ALPHAS))

test: setup ## everything; TESTS= chooses files
ifdef TESTS
	@$(IN_ENV) python -m pytest $(TESTS)
else
	@$(IN_ENV) python -m pytest -n 2 --dist loadfile $(SIDE_BY_SIDE)
	@$(IN_ENV) python -m pytest $(addprefix --ignore=,$(SIDE_BY_SIDE))
endif

lint: setup ## ruff, mypy strict, spelling, and Python $(ROBOT_PYTHON) syntax for what runs on a robot
	@$(IN_ENV) ruff check $(PYTHON_FILES)
	@$(IN_ENV) ruff format --check $(PYTHON_FILES)
	@$(IN_ENV) mypy
	@$(IN_ENV) codespell
	@$(IN_ENV) vermin --target=$(ROBOT_PYTHON)- --no-tips --violations espnet_ros launch setup.py

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
