"""Print the shared imports, and each function's additional imports, as JSON. Each function has its own process.

Usage: `python imports.py module:layers …`, with a function's module and its additional layers in the template. Packages
that are not in a function's layers, or are left out of them, cannot be imported here even if they are installed.
"""

import json
import os
import sys
from importlib import import_module
from pathlib import Path

SOME = {"cryptography": ["cryptography", "cffi", "_cffi_backend"], "jwt": ["jwt"]}
"""Packages of the layers that not every function has."""


def left_out() -> list[str]:
    """Return the modules that the layer's build removes from its packages."""
    listed = Path(__file__).parents[2] / "layers/deps/left_out.txt"
    return [path.removesuffix(".py").replace("/", ".") for path in listed.read_text().split()]


def main() -> None:
    """Import the shared modules, and then each function in a fork."""
    sys.modules.update(dict.fromkeys(left_out()))
    from pydantic import BaseModel, Field

    from bindery.aws import dynamodb
    from bindery.http import operation

    # Creating a model and a client imports more modules, which count as shared.
    dynamodb.client()
    model = type("Model", (BaseModel,), {"__annotations__": {"text": str}, "text": Field()})
    assert all((operation, model.model_fields))
    shared = set(sys.modules)
    found = {"shared": _public(shared, of={"bindery", "aws_lambda_powertools"})}
    for argument in sys.argv[1:]:
        module, _, layers = argument.partition(":")
        reading, writing = os.pipe()
        if os.fork() == 0:
            for layer, packages in SOME.items():
                if layer not in layers.split(","):
                    sys.modules.update(dict.fromkeys(packages))
            before = set(sys.modules)
            import_module(module)
            os.write(writing, json.dumps(_public(set(sys.modules) - before)).encode())
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as answer:
            found[module.removeprefix("functions.")] = json.loads(answer.read())
        os.wait()
    json.dump(found, sys.stdout)


def _public(modules: set[str], of: set[str] | None = None) -> list[str]:
    """Return Bindery's modules, and the packages of others. The standard library's differ between Python versions."""
    named = {
        name if name.startswith("bindery") else name.partition(".")[0]
        for name in modules
        if not name.startswith(("_", "functions")) and name.partition(".")[0] not in sys.stdlib_module_names
    }
    return sorted(name for name in named if of is None or name.partition(".")[0] in of)


if __name__ == "__main__":
    main()
