"""Roles of the functions in roles.yaml, from `Access` in their `Metadata` in template.yaml.

`Access` lists actions on a table or index (`table/index`), each with patterns of the partition keys: a prefix up to the
first `#`. `device` matches a device of any API, and `"*"` any key. For the WebSocket API, it lists the methods with
which a function manages connections; for a function, an event bus or a queue, the actions on it. A function can also
read the streams of the tables in `Streams` and the secrets in its environment, and write logs, and traces if tracing is
on. The default route's can invoke the live versions of the five APIs' operations. Functions with the same statements
share a role, which has the name of the first. The parameters of roles.yaml have the names of the resources whose ARNs
they are.
"""

import fnmatch
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from tools import template

INVOKE = "lambda:InvokeFunction"
MANAGE = "execute-api:ManageConnections"
LINK = "LinkApi"
"""The WebSocket API."""
PREFIXES = {
    "AWS::Serverless::Function": "lambda",
    "AWS::Events::EventBus": "events",
    "AWS::SQS::Queue": "sqs",
}
"""Prefix of the actions on a resource without keys, by its type."""
STREAM = ("DescribeStream", "GetRecords", "GetShardIterator", "ListStreams")
"""Actions with which Lambda reads a table's streams for a function."""
ANY_KEY = "*"
"""Any key. The statement gets no condition."""
ANY_DEVICE = "device"
"""Placeholder for `DEVICES`."""
DEVICES = ("asseco#*", "nowhere#*", "quectel#*", "rufus#*", "vodlix#*")

_SHARED = {
    "trust": '{Version: "2012-10-17", Statement: [{Effect: Allow, Action: sts:AssumeRole, '
    "Principal: {Service: lambda.amazonaws.com}}]}",
    "boundary": "!If [HasPermissionsBoundary, !Ref PermissionsBoundary, !Ref AWS::NoValue]",
    "log": "{Effect: Allow, Action: [logs:CreateLogStream, logs:PutLogEvents], Resource: !Ref FunctionLogGroup}",
    "trace": "!If [Traced, {Effect: Allow, Action: [xray:PutTraceSegments, xray:PutTelemetryRecords], "
    'Resource: "*"}, !Ref AWS::NoValue]',
}
"""Parts of every role, as YAML anchors."""

FUNCTION_ARN = "arn:${AWS::Partition}:lambda:${AWS::Region}:${AWS::AccountId}:function:"
"""ARN of a function without its name."""

_ROLE = (
    "{name}Role: {{Type: AWS::IAM::Role, Properties: {{AssumeRolePolicyDocument: {trust}, "
    "PermissionsBoundary: {boundary}, Policies: [{{PolicyName: {name}, "
    'PolicyDocument: {{Version: "2012-10-17", Statement: [{log}, {trace}'
)


@cache
def access() -> dict[str, dict[str, dict[str, list[str]]]]:
    """Return the key patterns of each action, by operation and resource."""
    found: dict[str, dict[str, dict[str, list[str]]]] = {}
    secrets = dict(template.resources("AWS::SecretsManager::Secret"))
    for function, properties in template.resources("AWS::Serverless::Function"):
        variables = properties.get("Environment", {}).get("Variables", {}).values()
        granted = template.metadata(function).get("Access", {})
        for resource, actions in granted.items():
            for action, patterns in actions.items():
                if not patterns and resource != LINK and _prefix(resource) == "dynamodb":
                    raise ValueError(f'{function}: {action} on {resource} has no key patterns ("*" matches any key)')
        found[properties["Handler"].removesuffix(".handler")] = (
            {
                resource: {f"{_prefix(resource)}:{action}": patterns for action, patterns in actions.items()}
                for resource, actions in granted.items()
                if resource != LINK
            }
            | {f"{LINK}/{method}": {MANAGE: []} for method in granted.get(LINK, {})}
            | {
                f"{table}/stream": {f"dynamodb:{action}": [] for action in STREAM}
                for table in template.metadata(function).get("Streams", ())
            }
            | {
                variable["Ref"]: {"secretsmanager:GetSecretValue": []}
                for variable in variables
                if isinstance(variable, dict) and variable.get("Ref") in secrets
            }
        )
    return found


def _prefix(resource: str) -> str:
    """Return the prefix of the actions on a resource."""
    kind = template.document()["Resources"].get(resource, {}).get("Type")
    return PREFIXES.get(kind, "dynamodb")


def resources(statement: Mapping[str, Any]) -> list[str]:
    """Return the tables, `table/index`, `table/stream`, secrets, functions, buses and queues of a statement."""
    named = statement["Resource"]
    return [resource(each) for each in (named if isinstance(named, list) else [named])]


def resource(written: dict[str, Any]) -> str:
    """Return what a part of a statement's `Resource` names."""
    ((intrinsic, value),) = written.items()
    if intrinsic == "Ref":
        return str(value)
    if value.startswith(FUNCTION_ARN):
        (function,) = invocable({"Resource": written})
        return function
    if value.endswith("/@connections/*"):
        return f"{LINK}/{value.split('/')[-3]}"
    table, part, index = re.split(r"/(index|stream)/", value.replace("${", "").replace("}", ""))
    return f"{table}/{index if part == 'index' else part}"


def invocable(statement: Mapping[str, Any]) -> list[str]:
    """Return the functions whose live versions a statement allows to invoke."""
    named = statement["Resource"]
    names = {
        template.resolve(properties["FunctionName"], {}): function
        for function, properties in template.resources("AWS::Serverless::Function")
    }
    found: list[str] = []
    for each in named if isinstance(named, list) else [named]:
        if "Ref" in each:
            found.append(each["Ref"].removesuffix(".Alias"))
            continue
        pattern = template.resolve(each, {"Stack": "local"}).removeprefix(FUNCTION_ARN).removesuffix(":live")
        found += [names[name] for name in fnmatch.filter(names, pattern)]
    return found


def written() -> Iterator[str]:
    """Yield the lines of all roles: a head, and a line per statement."""
    shared = {name: f"&{name} {value}" for name, value in _SHARED.items()}
    for function, statements in _by_function().items():
        if owner(function) != function:
            continue
        *lines, last = (_ROLE.format(name=function, **shared), *statements)
        yield from (f"{line}," for line in lines)
        yield f"{last}]}}}}]}}}}"
        shared = {name: f"*{name}" for name in _SHARED}


def outputs() -> Iterator[str]:
    """Yield a line per role: an output with its ARN."""
    for function in _by_function():
        if owner(function) == function:
            yield f"{function}Role: {{Value: !GetAtt {function}Role.Arn}}"


def owner(function: str) -> str:
    """Return the first function with the same statements, whose role both use."""
    by_function = _by_function()
    return next(first for first, lines in by_function.items() if lines == by_function[function])


@cache
def _by_function() -> dict[str, tuple[str, ...]]:
    """Return the lines of each function's statements, except those of all functions."""
    found: dict[str, tuple[str, ...]] = {}
    for function, properties in template.resources("AWS::Serverless::Function"):
        granted = access()[properties["Handler"].removesuffix(".handler")]
        invoked = _invocations() if template.routes(function) == ["$default"] else []
        found[function] = (*_statements(granted), *invoked)
    return found


def _statements(granted: dict[str, dict[str, list[str]]]) -> Iterator[str]:
    # A role's policies are limited in size, so a statement has all resources with the same actions and keys.
    found: dict[tuple[tuple[str, ...], tuple[str, ...]], list[str]] = {}
    for resource, actions in granted.items():
        by_keys: dict[tuple[str, ...], list[str]] = {}
        for action, keys in actions.items():
            by_keys.setdefault(tuple(keys), []).append(action)
        for patterns, together in by_keys.items():
            found.setdefault((tuple(together), patterns), []).append(_arn(resource))
    for (actions_, patterns), arns in found.items():
        named = arns[0] if len(arns) == 1 else f"[{', '.join(arns)}]"
        yield f"  {{Effect: Allow, Action: [{', '.join(actions_)}], Resource: {named}{_condition(patterns)}}}"


def patterns(functions: Iterable[str], stack: str) -> list[str]:
    """Return patterns of the ARNs of functions' live versions, one per API. `stack` is the variable for its id."""
    apis = dict.fromkeys(
        template.document()["Resources"][function]["Properties"]["Handler"].partition(".")[0] for function in functions
    )
    return [f"{FUNCTION_ARN}bindery-{stack}-{api}-*:live" for api in apis]


def _invocations() -> Iterator[str]:
    functions = (
        function
        for function, _ in template.resources("AWS::Serverless::Function")
        if any("/admin/" not in route and route != "$default" for route in template.routes(function))
    )
    named = ", ".join(f'!Sub "{pattern}"' for pattern in patterns(functions, "${Stack}"))
    yield f"  {{Effect: Allow, Action: [{INVOKE}], Resource: [{named}]}}"


def _condition(patterns: tuple[str, ...]) -> str:
    if not patterns or ANY_KEY in patterns:
        # Only secrets and connections have no patterns: see `access`.
        return ""
    each = [pattern for named in patterns for pattern in (DEVICES if named == ANY_DEVICE else (named,))]
    quoted = ", ".join(f'"{pattern}"' for pattern in each)
    return f', Condition: {{"ForAllValues:StringLike": {{dynamodb:LeadingKeys: [{quoted}]}}}}'


def _arn(resource: str) -> str:
    if resource.startswith(f"{LINK}/"):
        method = resource.removeprefix(f"{LINK}/")
        api = f"arn:${{AWS::Partition}}:execute-api:${{AWS::Region}}:${{AWS::AccountId}}:${{{LINK}}}"
        return f'!Sub "{api}/link/{method}/@connections/*"'
    if _prefix(resource) == "lambda":
        name = template.document()["Resources"][resource]["Properties"]["FunctionName"]["Fn::Sub"][0]
        return f'!Sub "{FUNCTION_ARN}{name.replace("${stack}", "${Stack}")}:live"'
    table, _, index = resource.partition("/")
    if table not in template.roles()["Parameters"]:
        raise ValueError(f"roles.yaml has no parameter {table}: add it there, and to `Roles` in template.yaml")
    if not index:
        return f"!Ref {table}"
    return f'!Sub "${{{table}}}/{"stream/*" if index == "stream" else f"index/{index}"}"'
