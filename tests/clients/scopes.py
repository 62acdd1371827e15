"""The local server, requiring scopes. The tokens name them as those of Entra ID (text) and Okta (list) do: in `scp`."""

from typing import Any

from tools import template
from tools.local import demo, serve
from tools.local.issuer import Issuer

SCOPES = {"ReadScope": "device.read", "WriteScope": "device.write"}


class Provider(Issuer):
    def token(self, claims: dict[str, Any], lifetime: int) -> str:
        scope = claims.pop("scope")
        scp = scope.split() if claims["sub"] == demo.CUSTOMERS[""] else scope
        return super().token(claims | {"scp": scp}, lifetime)


if __name__ == "__main__":
    for name, scope in SCOPES.items():
        template.document()["Parameters"][name]["Default"] = scope
    serve.Issuer = Provider
    serve.main()
