"""POST /v2/binding/enduserapi/regenerateAuthKey (the API's wider documentation)."""

from bindery.core.errors import Reason
from bindery.directory.sessions import Session
from bindery.http.fields import Identifier64
from bindery.http.messages import Access, Form
from bindery.http.operation import operation
from bindery.quectel import auth_keys, dialect


class RegenerateAuthKey(Form):
    """A device that the user has bound."""

    pk: Identifier64
    dk: dialect.DeviceKey


@operation(dialect, Access.WRITE, refuses=[*dialect.OWN_DEVICE, Reason.NOT_OWNER])
def handler(request: RegenerateAuthKey, caller: Session) -> dialect.AuthKey:
    """Replace the key of the binding. The previous one is invalid at once."""
    return dialect.AuthKey(auth_key=auth_keys.regenerate(caller, request.pk, request.dk))
