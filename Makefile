# Everything runs from .venv, which `setup` builds from the hashed lock. `make` alone lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo start stop test check lint format docs docs-check suites new-type bench bench-scale lock setup \
	system-packages
unexport PYTHONDONTWRITEBYTECODE  # without bytecode Airflow takes a minute longer to start

PYTHON ?= python3
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
	@$(RUN) tools.stack demo

start: setup ## start PostgreSQL and Airflow, import nothing
	@$(RUN) tools.stack start

stop: setup ## end Airflow and PostgreSQL
	@$(RUN) tools.stack stop

test: setup system-packages ## run all tests (ARGS="-k name" for some)
ifeq ($(strip $(ARGS)),)
	@$(RUN) tools.run_tests
else
	$(RUN) pytest $(ARGS)
endif

check: lint ## what a change needs in any case: lint, unit tests, rules
	@$(RUN) tools.run_tests unit rules

lint: setup docs-check ## check style, types, words, the order of packages and the documentation's links
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy
	PYTHONPATH=plugins .venv/bin/lint-imports --no-logo --no-cache
	$(RUN) tools.words

format: setup ## rewrite the code in the project's style
	$(RUN) ruff check --fix .
	$(RUN) ruff format .

docs: setup ## write the reference pages from declarations, suites, settings, DAGs and database comments
	$(RUN) docs.generate

docs-check: setup ## build the documentation as a site into .local/site; a broken link fails
	@# Not --quiet: with it mkdocs 1.6 takes no warning for a failure, --strict or not.
	NO_MKDOCS_2_WARNING=1 $(RUN) mkdocs build --strict --site-dir .local/site

suites: setup ## write the rules that follow from the declarations into the suites
	$(RUN) tools.suites

new-type: setup ## write a new import type (NAME=stores FIELDS="name! city opened_on:date")
	@$(RUN) tools.new_type "$(NAME)" $(if $(FIELDS),"$(FIELDS)")

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
