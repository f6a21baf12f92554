# make setup | demo | test | lint | docs | bench | wheel | clean
#
# PYTHON  interpreter from which the environment is made (3.10 to 3.12)
# VENV    where the environment is

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.mmweather-setup
INPUTS := setup.py pyproject.toml $(wildcard requirements/*.txt)
REQS   := core restore detect segment geo video web export docs dev
PIP    := $(BIN)/python -m pip install --disable-pip-version-check -q -c requirements/constraints.txt

export PYTHONUNBUFFERED = 1

.PHONY: setup demo test lint docs bench wheel clean help

help:
	@sed -n '1,4s/^# \{0,1\}//p' Makefile

setup: $(STAMP)

# Done again only when a requirements file or the packaging changes; an environment that is there is kept.
$(STAMP): $(INPUTS)
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 10) <= v <= (3, 12) else \
	    f"error: mmweather is tested on Python 3.10 to 3.12, not {v[0]}.{v[1]}: make setup PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) $(REQS:%=-r requirements/%.txt)
	@# An mmcv with compiled operators stays; mmcv-lite would overwrite its files.
	$(BIN)/python -c 'from importlib.util import find_spec; raise SystemExit(find_spec("mmcv") is None)' \
	    || $(PIP) -r requirements/lite.txt
	$(PIP) --no-deps -r requirements/mmagic.txt
	@# opencv-python needs libGL, which a server often lacks; the headless build of the same version does not.
	@$(BIN)/python -c 'import cv2' 2>/dev/null || $(PIP) --no-deps --force-reinstall opencv-python-headless==$$( \
	    $(BIN)/python -c 'from importlib.metadata import version; print(version("opencv-python"))')
	@$(BIN)/python -c 'import cv2'
	$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

demo: $(STAMP)
	$(BIN)/python tools/demo.py --out demo_out

test: $(STAMP)
	$(BIN)/python -m pytest -q -n 2 --dist loadfile --durations=15

lint: $(STAMP)
	$(BIN)/python -m ruff check .
	$(BIN)/python -m mypy

# A warning, such as a link that leads nowhere, is an error.
docs: $(STAMP)
	$(BIN)/python -m mkdocs build --strict --site-dir site

bench: $(STAMP)
	@set -e; for file in benchmarks/[!_]*.py; do \
	    [ -e "$$file" ] || { echo 'error: benchmarks/ holds no script'; exit 1; }; \
	    echo "== $$file"; $(BIN)/python "$$file"; done

wheel: $(STAMP)
	$(BIN)/python -m pip wheel -q --no-deps --no-build-isolation -w dist .

# Leaves the environment, data and work_dirs alone.
clean:
	rm -rf build dist site demo_out *.egg-info .mypy_cache .ruff_cache .pytest_cache
