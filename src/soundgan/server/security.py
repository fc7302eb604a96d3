"""Access control: bearer token, requests of other sites, and host names.

A server on loopback that writes files can be reached by every page that its user's browser shows. Three checks stop
such pages. A form or script of another site can send text without permission, but JSON only after a preflight request,
which the server refuses: so bodies must be JSON. An image can be requested by any site, but browsers send
`Sec-Fetch-Site` with it. And a site can resolve its own name to this machine (DNS rebinding) and so count as the same
origin, but its requests carry that name as their host.
"""

from __future__ import annotations

import ipaddress
import re
import secrets
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from soundgan.server.problems import Problem
from soundgan.server.state import get_state

# Of the page at `/` as well: scripts, styles, images and requests belong to this server, or to the page itself.
_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    b"media-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", _POLICY),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
)
_HOST = re.compile(r"(\[[^\]]*\]|[^:]*)(:[0-9]*)?")


class AuthenticatedRoute(APIRoute):
    """A route that checks token and content type before FastAPI reads the body."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def authenticate(request: Request) -> Response:
            require_token(request)
            if request.method == "POST":
                require_json(request)
            return await handle(request)

        return authenticate


def require_token(request: Request) -> None:
    """Raise `Problem` unless a request has the bearer token of the server, if it has one."""
    token = get_state(request).settings.token
    expected = token.get_secret_value().encode() if token is not None else None
    kind, _, given = request.headers.get("authorization", "").partition(" ")
    if expected and not (kind.lower() == "bearer" and secrets.compare_digest(given.encode("latin-1"), expected)):
        raise Problem(401, "send the header `Authorization: Bearer TOKEN`", www_authenticate="Bearer")


def require_json(request: Request) -> None:
    """Raise `Problem` unless the content type of a request is JSON."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        actual = f"is {kind}" if kind else "has no content type"
        raise Problem(415, f"the body {actual}; send the header `Content-Type: application/json`")


def require_same_site(request: Request) -> None:
    """Raise `Problem` for a request of another site's page, unless its origin is sent and allowed."""
    site = request.headers.get("sec-fetch-site", "none")  # sent by browsers only
    allowed = request.headers.get("origin") in get_state(request).settings.allowed_origins
    if site not in ("none", "same-origin") and not allowed:
        raise Problem(403, f"Sec-Fetch-Site: {site}; pages of another site need its origin in --allow-origin")


def check_host(host: str, allowed: Sequence[str]) -> None:
    """Raise `Problem` unless a `Host` header is a loopback name or address, or an allowed name."""
    match = _HOST.fullmatch(host)
    name = match[1].strip("[]").rstrip(".").lower() if match else ""
    if not is_loopback(name) and name not in allowed:
        detail = f"Host: {host!r} is not a name of this server; to accept it, start the server with --allow-host {name}"
        raise Problem(421, detail)


def is_loopback(name: str) -> bool:
    """Return True if a host name or address reaches this machine only."""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"
