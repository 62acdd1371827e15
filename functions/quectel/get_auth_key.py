"""POST /v2/binding/enduserapi/getAuthKey (the API's wider documentation)."""

from bindery.core.errors import Reason
from bindery.directory.sessions import Session
from bindery.http.fields import Identifier64
from bindery.http.messages import Access, Form
from bindery.http.operation import operation
from bindery.quectel import auth_keys, dialect


class GetAuthKey(Form):
    """A device that the user has bound."""

    pk: Identifier64
    dk: dialect.DeviceKey


@operation(dialect, Access.READ, refuses=[*dialect.OWN_DEVICE, Reason.NOT_OWNER])
def handler(request: GetAuthKey, caller: Session) -> dialect.AuthKey:
    """Return the key of the binding, with which the device authenticates."""
    return dialect.AuthKey(auth_key=auth_keys.get(caller, request.pk, request.dk))
