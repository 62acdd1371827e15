"""Generate the parts of template.yaml and roles.yaml that derive from the functions (`make generate`).

The `Routes` of a function's `Metadata` become the API's paths and an integration. Its `Access`, and the secrets in its
environment, become its role in roles.yaml, which its `Role` names.
"""

import re
from collections.abc import Iterator, Mapping

from tools import template
from tools.generate import roles
from tools.template import ANY, INTEGRATION, INTEGRATIONS, ROOT

TEMPLATE = ROOT / "template.yaml"
ROLES = ROOT / "roles.yaml"

ADMIN = "/admin/"
"""Prefix of the paths that require AWS signatures."""

_ROLE = r"(Handler: (?P<handler>[\w.]+),\s+Role: !GetAtt )[\w.]+"
_URI = "arn:${AWS::Partition}:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/${live}/invocations"


def rendered(text: str) -> str:
    """Return template.yaml with its generated parts regenerated."""
    gateways = {role: _invocable(role) for role in ("DialectsGatewayRole", "AdminGatewayRole")}
    text = _filled(text, {"paths": _paths(), "integrations": _integrations()} | gateways)
    return re.sub(_ROLE, lambda found: f"{found[1]}Roles.Outputs.{_role(found['handler'])}", text)


def rendered_roles(text: str) -> str:
    """Return roles.yaml with its generated parts regenerated."""
    return _filled(text, {"roles": roles.written(), "outputs": roles.outputs()})


def _filled(text: str, parts: Mapping[str, Iterator[str]]) -> str:
    """Replace the lines between `# <name>` and `# </name>`."""
    for name, lines in parts.items():
        head, indent, rest = re.split(rf"^( *)# <{name}>\n", text, maxsplit=1, flags=re.MULTILINE)
        end = f"{indent}# </{name}>\n"
        if end not in rest:
            raise ValueError(f"There is no line '# </{name}>' with the indentation of '# <{name}>'")
        _, tail = rest.split(end, 1)
        text = "".join([head, f"{indent}# <{name}>\n", *(f"{indent}{line}\n" for line in lines), end, tail])
    return text


def _role(handler: str) -> str:
    return next(
        f"{roles.owner(function)}Role"
        for function, properties in template.resources("AWS::Serverless::Function")
        if properties["Handler"] == handler
    )


def _routes() -> Iterator[tuple[str, str, str]]:
    """Yield function, method and path of each route. The default route is `$default`, for any method."""
    for function, _ in template.resources("AWS::Serverless::Function"):
        for route in template.routes(function):
            method, _, path = route.rpartition(" ")
            yield function, method or "ANY", path


def _paths() -> Iterator[str]:
    """One line per path."""
    paths: dict[str, list[str]] = {}
    for function, method, path in _routes():
        paths.setdefault(path, []).append(_method(function, method, path))
    for path, methods in paths.items():
        yield f'"{path}": {{{", ".join(methods)}}}'


def _method(function: str, method: str, path: str) -> str:
    parameters = ", ".join(f"{{name: {name}, in: path, required: true}}" for name in re.findall(r"\{([^}]+)\}", path))
    members = (
        "isDefaultRoute: true" if path == "$default" else "",
        "security: [AWS_IAM: []]" if path.startswith(ADMIN) else "",
        f"parameters: [{parameters}]" if parameters else "",
        f'{INTEGRATION}: {{$ref: "#/components/{INTEGRATIONS}/{function}"}}',
    )
    return f"{ANY if method == 'ANY' else method.lower()}: {{{', '.join(filter(None, members))}}}"


def _roles() -> dict[str, str]:
    """Return the role with which API Gateway invokes each function."""
    return {
        function: "AdminGatewayRole" if path.startswith(ADMIN) else "DialectsGatewayRole"
        for function, _, path in _routes()
    }


def _integrations() -> Iterator[str]:
    """One line per function."""
    uri = f'&uri "{_URI}"'
    for function, role in _roles().items():
        yield (
            f'{function}: {{type: aws_proxy, httpMethod: POST, payloadFormatVersion: "2.0", '
            f"credentials: !GetAtt {role}.Arn, uri: !Sub [{uri}, {{live: !Ref {function}.Alias}}]}}"
        )
        uri = "*uri"


def _invocable(role: str) -> Iterator[str]:
    """A list of the live versions that a role may invoke: a pattern of names for each API."""
    functions = [function for function, its in _roles().items() if its == role]
    *lines, last = (f'!Sub ["{pattern}", *stack]' for pattern in roles.patterns(functions, "${stack}"))
    yield from ("[", *(f"  {line}," for line in lines), f"  {last}]")


if __name__ == "__main__":
    TEMPLATE.write_text(rendered(TEMPLATE.read_text()))
    ROLES.write_text(rendered_roles(ROLES.read_text()))
