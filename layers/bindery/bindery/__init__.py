"""Code that Bindery's functions share."""

import gc
from sys import modules
from types import ModuleType

# All that imports make is there to stay: looking for garbage among it every 2000 objects is 3 % of a cold start.
gc.set_threshold(200_000)

# Modules that libraries import for features that are not used here. With what they import in turn (importlib.metadata,
# urllib.request, jmespath), they are a tenth of a cold start. The layers pin the libraries' versions.
_UNUSED = {
    "aws_lambda_powertools.metrics": ("Metrics", "single_metric"),
    "aws_lambda_powertools.tracing": ("Tracer",),
    "aws_lambda_powertools.utilities.jmespath_utils": (),
    "jwt.jwks_client": ("PyJWKClient",),
    "pydantic.plugin._loader": ("get_plugins",),
}
for _name, _members in _UNUSED.items():
    if _name not in modules:
        modules[_name] = ModuleType(_name)
        # `tuple`, because pydantic calls the last one and expects no plugins.
        vars(modules[_name]).update(dict.fromkeys(_members, tuple))
