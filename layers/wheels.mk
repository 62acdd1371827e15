# How a layer of wheels is built: for the functions' Python and processor, whatever Python and machine build it.
SHELL := /bin/sh

# The first Python that really runs (a version manager's shim may be found and not run) and has pip.
PIP := $(shell for python in python3.13 python3.14 python3.12 python3.11 python3 python; do \
	"$$python" -m pip --version >/dev/null 2>&1 && echo "$$python -m pip" && break; done)

.PHONY: wheels-aarch64 wheels-x86_64
wheels-aarch64 wheels-x86_64: wheels-%:
	@test -n "$(PIP)" || { echo "bindery: building the layers needs a Python with pip on PATH" >&2; exit 1; }
	$(PIP) install --quiet --disable-pip-version-check --no-compile --no-deps --require-hashes \
		--only-binary=:all: --implementation cp --python-version 3.13 \
		--platform manylinux2014_$* --platform manylinux_2_28_$* \
		--requirement requirements.txt --target "$(ARTIFACTS_DIR)/python"
	rm -rf "$(ARTIFACTS_DIR)/python/bin"
