"""What strangers may not do: come without the token, have the page of another site ask, or use another host name.

A server on loopback that writes files is within reach of every page that its user's browser shows. Three doors are shut
against them. A form or script of another site may send text without being asked anything, but JSON only after the
browser has asked the server, which says no: so bodies must be JSON. A picture may be of any site; but browsers tell
whose page shows it. And a site may have its own name lead to this machine (DNS rebinding), and then passes for this
server; but its requests name that site as their host.
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
from soundgan.server.state import state

# For the page at `/` as well: its scripts, styles, pictures and requests are of this server, or made in the browser.
_POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data: blob:",
    "media-src": "'self' data: blob:",
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", "; ".join(f"{what} {whence}" for what, whence in _POLICY.items()).encode()),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
)
_HOST = re.compile(r"(\[[^\]]*\]|[^:]*)(:[0-9]*)?")


class AuthenticatedRoute(APIRoute):
    """A route that looks at the head of a request before FastAPI reads its body."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            require_token(request)
            if request.method == "POST":
                require_json(request)
            return await handle(request)

        return guarded


def require_token(request: Request) -> None:
    """Let a request pass that brings the token, if there is one."""
    token = state(request).settings.token
    if token is None:
        return
    kind, _, given = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not secrets.compare_digest(
        given.encode("latin-1"), token.get_secret_value().encode()
    ):
        raise Problem(401, "Not authorised", "send the header `Authorization: Bearer TOKEN`", www_authenticate="Bearer")


def require_json(request: Request) -> None:
    """Let a request pass whose body is JSON by its own account."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        given = f"is {kind}" if kind else "has no type"
        raise Problem(415, "Not JSON", f"the body {given}; send the header `Content-Type: application/json`")


def require_same_site(request: Request) -> None:
    """Let a request pass that no page of another site caused, unless that site is allowed and says who it is."""
    whence = request.headers.get("sec-fetch-site", "none")  # of browsers only
    if whence not in ("none", "same-origin") and request.headers.get("origin") not in state(request).settings.origins:
        told = f"Sec-Fetch-Site: {whence}; a page of another site may only ask if --allow-origin has it"
        raise Problem(403, "Another site", told)


def check_host(host: str, allowed: Sequence[str]) -> None:
    """Raise `Problem` unless a `Host` header names this machine by a name of its own, or by one of those allowed."""
    named = _HOST.fullmatch(host)
    name = named[1].strip("[]").rstrip(".").lower() if named else ""
    if not is_loopback(name) and name not in allowed:
        told = f"Host: {host!r} is not a name of this server; if it should be one, start it with --allow-host {name}"
        raise Problem(421, "Wrong host", told)


def is_loopback(name: str) -> bool:
    """Whether only this machine itself is reached by that name or address."""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"
