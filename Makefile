# `make demo` and `make test` work on a fresh machine with Python 3.11 or 3.12.
.PHONY: demo test bench bench-scaling bench-seed-000 bench-seed-002 bench-generation lint format generate venv clean

PYTHON ?= $(firstword $(foreach p,python3.11 python3.12 python3,$(shell command -v $(p) 2>/dev/null)))
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
# At a terminal pip shows what it downloads; in a log one line is enough.
QUIET := $(if $(MAKE_TERMOUT),,--quiet)
VENV := .venv
BIN := $(VENV)/bin
PROTOS := $(shell find protos -name '*.proto')

demo: venv
	@$(BIN)/python -m examples.demo

.PHONY: demo-llm
demo-llm: venv
	@$(BIN)/python -m examples.demo_llm

# Two files at a time take half as long, most tests wait for processes that start; on two cores it is
# a matter of luck whether all keep their deadlines: make test ARGS="-n 2 --dist loadfile --no-loadscope-reorder"
test: venv lint
	@$(BIN)/python -m pytest $(ARGS)

# For instance: make bench ARGS="--work a,c --peers mindserve,mosec --rounds 3 --seconds 5"
bench: venv
	@$(BIN)/python -m benchmarks $(ARGS)

# For instance: make bench-scaling ARGS="--parts callers,idle --rounds 1"
bench-scaling: venv
	@$(BIN)/python -m benchmarks.scaling $(ARGS)

# For instance: make bench-seed-000 ARGS="--rounds 3 --steps 10 --pipelines 1"
bench-seed-000: venv
	@$(BIN)/python -m benchmarks.seed_000 $(ARGS)

# For instance: make bench-seed-002 ARGS="--rounds 3 --turns 0"
bench-seed-002: venv
	@$(BIN)/python -m benchmarks.seed_002 $(ARGS)

# For instance: make bench-generation ARGS="--rounds 3 --peers llama-cpp-python"
bench-generation: venv
	@$(BIN)/python -m benchmarks.generation $(ARGS)

venv: $(VENV)/.installed
$(VENV)/.installed: pyproject.toml constraints.txt
	@echo "Installing Mindserve with MindSpore into $(VENV) (downloads about 1 GB the first time) ..."
	@ldconfig -p | grep -q libgomp.so.1 || { echo "MindSpore needs libgomp1:"; \
	  $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq libgomp1; }
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install $(QUIET) --disable-pip-version-check -c constraints.txt -e '.[mindspore,onnx,generation,examples,dev]'
	@touch $@

lint: venv
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m pytest -q tests/contract/test_generated_code.py

format: venv
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

generate: venv
	@$(BIN)/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. $(PROTOS)

clean:
	rm -rf $(VENV) .bench build dist *.egg-info
