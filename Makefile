# Everything runs from .venv, which `setup` builds from the hashed lock. `make` alone lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo start stop test lint format docs new-type bench bench-scale lock setup system-packages
unexport PYTHONDONTWRITEBYTECODE  # without bytecode Airflow takes a minute longer to start

PYTHON ?= python3
# One half of the tests, by time. Those with a running Airflow mostly wait, so that the other half runs beside them.
ONE_HALF := tests/browser tests/end_to_end tests/faults tests/rules tests/unit
ARGS ?=
RUN := .venv/bin/python -m
# The environment is rebuilt when a lock, the Python or the folder is another one.
STAMP := .venv/installed-$(shell { cat requirements-bootstrap.txt requirements-dev.txt; pwd; \
	$(PYTHON) -c 'import sys; print(sys.version)'; } 2>/dev/null | sha256sum | cut -c1-16)

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):[^#]*## (.*)/  make \1\t\2/' | expand -t 20
	@echo
	@echo '  PORT=8080, PG_PORT=5442 and SMTP_PORT=2525 choose the ports of demo and start (also in .env).'

demo: setup ## start everything, import the sample files, show what became of them
	@$(RUN) include.stack demo

start: setup ## start PostgreSQL and Airflow, import nothing
	@$(RUN) include.stack start

stop: setup ## end Airflow and PostgreSQL
	@$(RUN) include.stack stop

test: setup system-packages ## run all tests (ARGS="-k name" for some)
ifeq ($(strip $(ARGS)),)
	@log=$$(mktemp); set -m; \
	$(RUN) pytest $(ONE_HALF) >"$$log" 2>&1 & beside=$$!; \
	trap 'kill -INT -- -$$beside' INT TERM; trap 'rm -f "$$log"' EXIT; \
	others=0; $(RUN) pytest $(addprefix --ignore=,$(ONE_HALF)) || others=$$?; \
	ended=0; wait $$beside || ended=$$?; \
	cat "$$log"; exit $$((others || ended))
else
	$(RUN) pytest $(ARGS)
endif

lint: setup ## check style and types
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy
	.venv/bin/lint-imports --no-logo --no-cache

format: setup ## rewrite the code in the project's style
	$(RUN) ruff check --fix .
	$(RUN) ruff format .

docs: setup ## bring the README's tables in line with declarations, suites and DAGs
	$(RUN) include.documentation

new-type: setup ## write a new import type (NAME=stores FIELDS="name! city opened_on:date")
	@$(RUN) include.new_type "$(NAME)" $(if $(FIELDS),"$(FIELDS)")

bench: setup ## measure imports beside psql's \copy (ARGS= for options)
	$(RUN) benchmarks.run $(ARGS)

bench-scale: setup ## measure files of 1, 5 and 20 million rows with 1 and 2 workers (ARGS= for options)
	$(RUN) benchmarks.scale $(ARGS)

COMPILE = $(RUN) uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header $(ARGS)
lock: setup ## bring the locks in line with requirements*.in (ARGS=--upgrade for newer versions)
	$(COMPILE) requirements-bootstrap.in -o requirements-bootstrap.txt
	$(COMPILE) requirements.in -o requirements.txt
	$(COMPILE) requirements-dev.in -c requirements.txt -o requirements-dev.txt

setup: $(STAMP)

$(STAMP):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'error: Python 3.11 or newer is needed; name one with PYTHON=...' >&2; exit 1; }
	@echo 'Building .venv from the lock ...'
	@$(PYTHON) -m venv --clear .venv
	@$(RUN) pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: \
		-r requirements-bootstrap.txt
	@$(RUN) uv pip sync --quiet --python .venv/bin/python --require-hashes --compile-bytecode requirements-dev.txt
	@touch $@

system-packages:
	@.ci/system-packages
