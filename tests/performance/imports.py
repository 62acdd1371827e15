"""Print as JSON what each function imports beside what every one does, each in a process of its own.

`python imports.py module:layers …`: the function's module, and which of the packages it has beside those of all, as its
layers in the template say. What is no layer of a function's, or is left out of one, cannot be imported here either,
whatever is installed.
"""

import json
import os
import sys
from importlib import import_module
from pathlib import Path

SOME = {"cryptography": ["cryptography", "cffi", "_cffi_backend"], "jwt": ["jwt"]}
"""What layers that not every function has bring."""


def left_out() -> list[str]:
    """The modules that the layer's build leaves out of its packages."""
    listed = Path(__file__).parents[2] / "layers/deps/left_out.txt"
    return [path.removesuffix(".py").replace("/", ".") for path in listed.read_text().split()]


def main() -> None:
    """Import what all functions share, and then each function in a fork."""
    sys.modules.update(dict.fromkeys(left_out()))
    import botocore.session
    from pydantic import BaseModel, Field

    from bindery.aws import dynamodb
    from bindery.http import operation

    # What is imported by building a model and a client is no function's own.
    dynamodb.client()
    model = type("Model", (BaseModel,), {"__annotations__": {"text": str}, "text": Field()})
    assert all((botocore.session, operation, model.model_fields))
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
    """Modules of ours by name, and of others the package: their insides differ from one Python to the next."""
    named = {
        name if name.startswith("bindery") else name.partition(".")[0]
        for name in modules
        if not name.startswith(("_", "functions", "encodings"))
    }
    return sorted(name for name in named if of is None or name.partition(".")[0] in of)


if __name__ == "__main__":
    main()
