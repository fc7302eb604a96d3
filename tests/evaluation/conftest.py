from __future__ import annotations

from pathlib import Path

import pytest
from toy_sounds import fill


@pytest.fixture(scope="package")
def real_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty sounds of two labels; the training of the bundled digits excluded takes 00 to 04."""
    return fill(tmp_path_factory.mktemp("real"), n=20, seed=0)
