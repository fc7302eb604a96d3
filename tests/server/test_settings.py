"""Settings of the server."""

from __future__ import annotations

import pytest

pytest.importorskip("fastapi", reason="the server needs the extra `serve`")

from soundgan.errors import SettingsError
from soundgan.server.settings import check_server_settings


@pytest.mark.parametrize("token", ["", "sésame", "sesame 1", "sesame\n", "\udc80"])
def test_token_that_browsers_cannot_send_is_refused_and_not_repeated(token: str) -> None:
    with pytest.raises(SettingsError, match=r"^token: .*ASCII") as refused:
        check_server_settings({"token": token})
    assert token == "" or token not in str(refused.value)
