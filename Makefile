# Everything a fresh machine with python3 (3.11 or newer) needs: `make demo`, `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
VIDEOS ?=
OUT ?= demo/dataset

.PHONY: demo test check lint clean

# The environment is complete when the stamp is newer than what defines it.
$(VENV)/.core: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

# Tests run real model code on tiny checkpoints, so the models extra is part of it.
$(VENV)/.dev: $(VENV)/.core constraints-models.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -c constraints-models.txt -e '.[dev,models]'
	touch $@

# make demo: clips made from photographs; make demo VIDEOS=folder: your own videos.
demo: $(VENV)/.core
ifeq ($(strip $(VIDEOS)),)
	$(BIN)/python -m pipeline.demo demo/videos
	$(BIN)/recast build demo/videos --out $(OUT)
else
	$(BIN)/recast build "$(VIDEOS)" --out $(OUT)
endif
	$(BIN)/recast check $(OUT)
	$(BIN)/recast report $(OUT)
	@echo
	@echo "The dataset is in $(OUT): open $(OUT)/report/index.html, or try"
	@echo "  $(BIN)/recast status $(OUT)"

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Tests that start Ray use both cores themselves; the others share them.
test: check
	$(BIN)/python -m pytest -m "not ray" -n 2
	$(BIN)/python -m pytest -m ray

clean:
	rm -rf $(VENV) demo .pytest_cache .mypy_cache .ruff_cache
