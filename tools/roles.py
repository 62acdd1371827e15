"""Generate the functions' roles in template.yaml from tools/access.toml (`make generate`).

A statement allows actions on one table, index or secret, limited by prefix of the partition key. Every role can also
write logs, and traces if tracing is on.
"""

import re
import tomllib
from collections.abc import Iterator
from functools import cache
from typing import Any

from tools import template
from tools.template import ROOT

ACCESS = ROOT / "tools/access.toml"
TEMPLATE = ROOT / "template.yaml"

ANY_KEY = "*"
"""Any key. The statement gets no condition."""
ANY_DEVICE = "device"
"""Placeholder for `DEVICES`."""
DEVICES = ("asseco#*", "nowhere#*", "quectel#*", "rufus#*", "vodlix#*")

_BLOCK = re.compile(r"(?<=^  # <roles>\n).*?(?=^  # </roles>$)", re.MULTILINE | re.DOTALL)

_SHARED = {
    "trust": '{Version: "2012-10-17", Statement: [{Effect: Allow, Action: sts:AssumeRole, '
    "Principal: {Service: lambda.amazonaws.com}}]}",
    "boundary": "!If [HasPermissionsBoundary, !Ref PermissionsBoundary, !Ref AWS::NoValue]",
    "log": "{Effect: Allow, Action: [logs:CreateLogStream, logs:PutLogEvents], Resource: !GetAtt FunctionLogGroup.Arn}",
    "trace": "!If [Traced, {Effect: Allow, Action: [xray:PutTraceSegments, xray:PutTelemetryRecords], "
    'Resource: "*"}, !Ref AWS::NoValue]',
}
"""Parts of every role, as YAML anchors."""

_ROLE = """\
  {name}Role:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument: {trust}
      PermissionsBoundary: {boundary}
      Policies:
        - PolicyName: {name}
          PolicyDocument:
            Version: "2012-10-17"
            Statement:
              - {log}
              - {trace}
"""


@cache
def access() -> dict[str, dict[str, dict[str, list[str]]]]:
    """Return the key patterns of each action, by operation and resource."""
    found: dict[str, dict[str, dict[str, list[str]]]] = {}
    for operation, granted in tomllib.loads(ACCESS.read_text()).items():
        secrets = granted.pop("secrets", [])
        found[operation] = {
            resource: {f"dynamodb:{action}": patterns for action, patterns in actions.items()}
            for resource, actions in granted.items()
        } | {secret: {"secretsmanager:GetSecretValue": []} for secret in secrets}
    return found


def rendered(text: str) -> str:
    """Return the template with its roles regenerated."""
    return _BLOCK.sub(lambda _: "".join(_roles()), text)


def resource(written: dict[str, Any]) -> str:
    """Return the table, `table/index` or secret of a statement."""
    ((intrinsic, value),) = written.items()
    if intrinsic == "Ref":
        return str(value)
    if intrinsic == "Fn::GetAtt":
        return str(value[0]).removesuffix("Arn") + "Table"
    name, _, index = value.removeprefix("${").partition("Arn.Value}/index/")
    return f"{name}Table/{index}"


def _roles() -> Iterator[str]:
    shared = {name: f"&{name} {value}" for name, value in _SHARED.items()}
    for function in template.functions():
        yield _ROLE.format(name=function.logical_id, **shared)
        yield from _statements(access().get(function.name, {}))
        shared = {name: f"*{name}" for name in _SHARED}


def _statements(granted: dict[str, dict[str, list[str]]]) -> Iterator[str]:
    for resource, actions in granted.items():
        by_keys: dict[tuple[str, ...], list[str]] = {}
        for action, keys in actions.items():
            by_keys.setdefault(tuple(keys), []).append(action)
        for patterns, together in by_keys.items():
            named = f"{{Effect: Allow, Action: [{', '.join(together)}], Resource: {_arn(resource)}"
            yield f"              - {named}{_condition(patterns)}}}\n"


def _condition(patterns: tuple[str, ...]) -> str:
    if not patterns or ANY_KEY in patterns:
        return ""
    each = [pattern for named in patterns for pattern in (DEVICES if named == ANY_DEVICE else (named,))]
    quoted = ", ".join(f'"{pattern}"' for pattern in each)
    return f', Condition: {{"ForAllValues:StringLike": {{dynamodb:LeadingKeys: [{quoted}]}}}}'


def _arn(resource: str) -> str:
    table, _, index = resource.partition("/")
    if not table.endswith("Table"):
        return f"!Ref {resource}"
    held = table.removesuffix("Table") + "Arn.Value"
    return f'!Sub "${{{held}}}/index/{index}"' if index else f"!GetAtt {held}"


if __name__ == "__main__":
    TEMPLATE.write_text(rendered(TEMPLATE.read_text()))
