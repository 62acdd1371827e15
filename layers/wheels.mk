# How the layers are built: for the functions' Python and processor, whatever Python and machine build them.
SHELL := /bin/sh

# The first Python that really runs (a version manager's shim may be found and not run) and has pip. Like the next one it is
# looked for when it is first needed, and once.
PYTHON = $(eval PYTHON := $(shell for python in python3.13 python3.14 python3.12 python3.11 python3 python; do \
	"$$python" -m pip --version >/dev/null 2>&1 && echo "$$python" && break; done))$(PYTHON)
PIP_INSTALL = "$(PYTHON)" -m pip install --quiet --disable-pip-version-check --no-compile --no-deps --require-hashes \
	--only-binary=:all:

# The functions' own Python. It alone makes bytecode that they can use.
COMPILER = $(eval COMPILER := $(shell for python in python3.13 python3 python; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 13))' >/dev/null 2>&1 && echo "$$python" && break; done))$(COMPILER)

# Lambda cannot write bytecode beside a layer's sources, so without this every cold start would compile them all. Unchecked
# by hash: neither the date of a file nor what packed it matters, and two builds are alike byte by byte.
define compile
	@if [ -n "$(COMPILER)" ]; then \
		PYTHONHASHSEED=0 "$(COMPILER)" -m compileall -q -f --invalidation-mode unchecked-hash \
			-s "$(ARTIFACTS_DIR)" -p $(1) "$(ARTIFACTS_DIR)"; \
	else echo "bindery: no Python 3.13 on PATH, so without bytecode: cold starts will take several times as long" >&2; fi
endef

# What no function imports of the packages, a path a line; one that is not there (any more) ends the build.
define leave-out
	@test ! -f left_out.txt || { cd "$(ARTIFACTS_DIR)/python" && xargs rm -r; } < left_out.txt
endef

.PHONY: wheels-aarch64 wheels-x86_64
wheels-aarch64 wheels-x86_64: wheels-%:
	@test -n "$(PYTHON)" || { echo "bindery: building the layers needs a Python with pip on PATH" >&2; exit 1; }
	$(PIP_INSTALL) --implementation cp --python-version 3.13 --platform manylinux2014_$* --platform manylinux_2_28_$* \
		--requirement requirements.txt --target "$(ARTIFACTS_DIR)/python"
	rm -rf "$(ARTIFACTS_DIR)/python/bin"
	$(leave-out)
	$(call compile,/opt)
