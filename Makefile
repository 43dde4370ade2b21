# One place for the commands; CONTRIBUTING.md explains them. ARGS goes to the tool: make test ARGS="-k lease -x"
PYTHON ?= python3
BIN := .venv/bin
.PHONY: test torture demo lint bench soak clean
test: .venv/ready
	$(BIN)/python -m pytest -n auto --dist loadgroup $(ARGS)
torture: .venv/ready
	PYTHONPATH=tests $(BIN)/python -m faults.torture $(ARGS)

demo: .venv/ready
	$(BIN)/taskdir demo $(ARGS)
lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/mypy --strict
bench soak: .venv/ready
	$(BIN)/python -m bench $@ $(ARGS)

# Installed again only when pyproject.toml changes; the install is editable, so code needs no second one.
.venv/ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "taskdir needs Python 3.11 or later; name one with: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	  || { echo "this python3 cannot make virtual environments; install it with: apt install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,fast,tui,mcp]'
	@$(BIN)/python tests/support/fetch.py && touch $@  # fetched now, so that no test needs a network

clean:
	rm -rf .venv .venv-bench .mypy_cache .pytest_cache .ruff_cache .hypothesis dist
