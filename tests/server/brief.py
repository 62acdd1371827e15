"""The local server, whose device link ends connections after some seconds, as API Gateway does after two hours."""

from functools import partial

from tools.local import serve
from tools.local.link import Limits, LinkGateway

if __name__ == "__main__":
    serve.LinkGateway = partial(LinkGateway, limits=Limits(lifetime=5))  # type: ignore[attr-defined,assignment,misc]
    serve.main()
