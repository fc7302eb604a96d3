"""Types of the shared fixtures."""

from __future__ import annotations

from collections.abc import Callable

from soundgan.settings import Settings

TinySettings = Callable[..., Settings]
