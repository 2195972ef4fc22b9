# Everything from a bare clone: only python3 (3.11 to 3.13) and make are needed.

PYTHON ?= python3
UV_VERSION := 0.13.9
BIN := .venv/bin
READY := .venv/.synced

# uv takes the python of .venv and never downloads another one.
export UV_PYTHON_DOWNLOADS := never
export UV_NO_PROGRESS := 1
# An office's own certificate authority is known to the system, not to uv.
export UV_SYSTEM_CERTS ?= $(if $(wildcard /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt),true,false)

.DEFAULT_GOAL := help
.PHONY: help demo up test bench check fmt clean compose-check

help:
	@echo 'make demo    a made-up district works a day (DEMO_ARGS=--exit ends afterwards)'
	@echo 'make up      run docflow on this machine (UP_ARGS="--data-dir DIR")'
	@echo 'make test    all tests (TESTS=tests/unit selects)'
	@echo 'make bench   measurements (BENCH_ARGS=...)'
	@echo 'make check   format, lint, types, layers, schema, configuration, compose file'
	@echo 'make fmt     format and fix what can be fixed'
	@echo 'make clean   remove the environment and caches, never data'

$(READY): pyproject.toml uv.lock
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' || \
		{ echo 'docflow needs Python 3.11, 3.12 or 3.13; say which one with: make PYTHON=python3.12'; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo '$(PYTHON) cannot make virtual environments. On Debian and Ubuntu: apt-get install python3-venv'; exit 1; }
	@$(BIN)/uv --version 2>/dev/null | grep -q '^uv $(UV_VERSION)' || \
		{ $(PYTHON) -m venv .venv && $(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION); }
	@$(BIN)/uv sync --frozen --quiet --python $(BIN)/python
	@touch $@

demo: $(READY)
	@$(BIN)/docflow demo $(DEMO_ARGS)

up: $(READY)
	@$(BIN)/docflow up $(UP_ARGS)

test: $(READY)
	@$(BIN)/pytest -n 2 --dist loadgroup $(TESTS)

bench: $(READY)
	@$(BIN)/docflow bench $(BENCH_ARGS)

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy --strict docflow workflows
	$(BIN)/lint-imports
	$(BIN)/python -m docflow.local.schema_check
	$(BIN)/docflow config check
	@$(MAKE) --no-print-directory compose-check

compose-check:
	@if docker compose version >/dev/null 2>&1; then \
		echo 'docker compose config'; \
		sed 's/=$$/=filled-for-the-check/' .env.example > .venv/compose.env; \
		docker compose --env-file .venv/compose.env config --quiet; \
	else \
		echo 'docker compose is not installed: docker-compose.yml was not checked'; \
	fi

fmt: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
