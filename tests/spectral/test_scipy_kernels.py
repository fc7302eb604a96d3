"""Real FFT and sparse matrices: the results of SciPy's public functions, to the bit."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.fft
import scipy.sparse

from soundgan.spectral import scipy_kernels
from soundgan.spectral.scipy_kernels import SparseMatrix, irfft, rfft

RANDOM = np.random.RandomState(0)
FRAMES = RANDOM.standard_normal((5, 48)).astype(np.float32)
DENSE = np.where(RANDOM.random_sample((7, 48)) < 0.3, RANDOM.standard_normal((7, 48)), 0).astype(np.float32)


@pytest.fixture(params=["compiled modules", "public functions"], autouse=True)
def _scipy(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "public functions":
        for name in ("_POCKETFFT", "_SPARSETOOLS"):
            monkeypatch.setattr(scipy_kernels, name, scipy_kernels._load_compiled("scipy.fft._missing.module"))


def test_ffts_equal_those_of_scipy() -> None:
    spectra = rfft(FRAMES)
    assert spectra.dtype == np.complex64 and spectra.tobytes() == np.asarray(scipy.fft.rfft(FRAMES)).tobytes()
    frames = irfft(spectra, 48)
    assert frames.dtype == np.float32 and frames.tobytes() == np.asarray(scipy.fft.irfft(spectra, 48)).tobytes()


def test_products_equal_those_of_scipy() -> None:
    product = SparseMatrix(DENSE) @ FRAMES.T
    assert product.dtype == np.float32
    assert product.tobytes() == (scipy.sparse.csr_array(DENSE) @ FRAMES.T).tobytes()


def test_rows_of_zeros_give_zeros() -> None:
    matrix = SparseMatrix(np.array([[0, 0], [1, 2], [0, 0]], np.float32))
    assert (matrix @ np.ones((2, 3), np.float32)).tolist() == [[0] * 3, [3] * 3, [0] * 3]
