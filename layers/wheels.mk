# Builds the layers for the functions' Python version and architecture, independent of the building machine.
SHELL := /bin/sh

# The first Python that has pip and really runs: a version manager's shim may exist but not run. Searched for once, at first use,
# like COMPILER.
PYTHON = $(eval PYTHON := $(shell for python in python3.13 python3.14 python3.12 python3.11 python3 python; do \
	"$$python" -m pip --version >/dev/null 2>&1 && echo "$$python" && break; done))$(PYTHON)
PIP_INSTALL = "$(PYTHON)" -m pip install --quiet --disable-pip-version-check --no-compile --no-deps --require-hashes \
	--only-binary=:all:

# The functions' Python version, which compiles their bytecode.
COMPILER = $(eval COMPILER := $(shell for python in python3.13 python3 python; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 13))' >/dev/null 2>&1 && echo "$$python" && break; done))$(COMPILER)

# Lambda cannot write bytecode to a layer, so without this every cold start would compile all sources. Unchecked hashes make the
# bytecode independent of file dates, and builds reproducible.
define compile
	@if [ -n "$(COMPILER)" ]; then \
		PYTHONHASHSEED=0 "$(COMPILER)" -m compileall -q -f --invalidation-mode unchecked-hash \
			-s "$(ARTIFACTS_DIR)" -p $(1) "$(ARTIFACTS_DIR)"; \
	else echo "bindery: Python 3.13 not found on PATH. Building without bytecode: cold starts will take several times as long" >&2; fi
endef

# Deletes files that no function imports, listed one path per line. A missing path fails the build.
define leave-out
	@test ! -f left_out.txt || { cd "$(ARTIFACTS_DIR)/python" && xargs rm -r; } < left_out.txt
endef

.PHONY: wheels-aarch64 wheels-x86_64
wheels-aarch64 wheels-x86_64: wheels-%:
	@test -n "$(PYTHON)" || { echo "bindery: building the layers requires a Python with pip on PATH" >&2; exit 1; }
	$(PIP_INSTALL) --implementation cp --python-version 3.13 --platform manylinux2014_$* --platform manylinux_2_28_$* \
		--requirement requirements.txt --target "$(ARTIFACTS_DIR)/python"
	rm -rf "$(ARTIFACTS_DIR)/python/bin"
	$(leave-out)
	$(call compile,/opt)
