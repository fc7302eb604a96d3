# make run    a new sound in output.wav, from nothing, without PyTorch
# make test   lint and all tests, a process per core
# make docs   the documentation in site/, with all links checked
# make lint   ruff, pyright and the rules of the imports

PYTHON ?= python3
BIN := .venv/bin

.PHONY: run test lint docs clean

run: .venv/player
	$(BIN)/python main.py --inference
	$(BIN)/soundgan about output.wav

test: .venv/everything lint
	$(BIN)/python -m pytest -n auto --dist worksteal

lint: .venv/everything
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

docs: .venv/docs
	$(BIN)/zensical build --clean --strict

# Each stamp is remade when what it depends on changes; a second `make` finds both and installs nothing.
.venv/player: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

.venv/everything: .venv/player
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[train,serve,dev]'
	touch $@

.venv/docs: .venv/player
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	touch $@

clean:
	rm -rf .venv
