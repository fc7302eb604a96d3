"""Real FFT and sparse matrix product of SciPy, without the rest of SciPy.

The packages `scipy.fft` and `scipy.sparse` also import scipy.special and, by `from numpy import *`, numpy.f2py and
numpy.testing: 35 % of a cold start. So only their compiled modules are loaded, which need nothing but NumPy. A version
of SciPy that does not have them is used by its public functions, with the same results.
"""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray


def _load_compiled(name: str) -> Any:
    """Module of a dotted name, without the packages that it is in; None if there is none."""
    if name in sys.modules:
        return sys.modules[name]
    scipy, *folders, _ = name.split(".")
    package = find_spec(scipy)
    roots = package.submodule_search_locations if package else None
    spec = PathFinder.find_spec(name, ["/".join([root, *folders]) for root in roots or ()])
    if spec is None or spec.loader is None:
        return None
    try:
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
    except ImportError:
        return None
    return module


_POCKETFFT = _load_compiled("scipy.fft._pocketfft.pypocketfft")
_SPARSETOOLS = _load_compiled("scipy.sparse._sparsetools")


def rfft(frames: NDArray[np.float32]) -> NDArray[np.complex64]:
    """Return the spectra of real frames. Shape: (…, n) → (…, n // 2 + 1)."""
    if _POCKETFFT is None:
        from scipy import fft

        return np.asarray(fft.rfft(frames))
    return _POCKETFFT.r2c(frames, axes=(-1,))


def irfft(spectra: NDArray[np.complex64], n: int) -> NDArray[np.float32]:
    """Return the real frames of spectra. Shape: (…, n // 2 + 1) → (…, n)."""
    if _POCKETFFT is None:
        from scipy import fft

        return np.asarray(fft.irfft(spectra, n))
    return _POCKETFFT.c2r(spectra, axes=(-1,), lastsize=n, forward=False, inorm=2)  # scaled by 1 / n


class SparseMatrix:
    """Sparse float32 matrix (compressed rows), for products with dense ones.

    Examples:
        >>> SparseMatrix(np.array([[0, 2], [1, 0]], np.float32)) @ np.array([[3], [4]], np.float32)
        array([[8.],
               [3.]], dtype=float32)
    """

    def __init__(self, dense: NDArray[np.float32]) -> None:
        rows, columns = np.nonzero(dense)
        self._shape, self._values, self._columns = dense.shape, dense[rows, columns], columns.astype(np.int32)
        self._row_starts = np.searchsorted(rows, np.arange(len(dense) + 1)).astype(np.int32)

    def __matmul__(self, dense: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the product. Shape: (rows, n) @ (n, columns) → (rows, columns)."""
        if _SPARSETOOLS is None:
            from scipy.sparse import csr_array

            return csr_array((self._values, self._columns, self._row_starts), self._shape) @ dense
        (rows, columns), n = self._shape, dense.shape[1]
        product = np.zeros((rows, n), np.float32)
        matrix = self._row_starts, self._columns, self._values
        _SPARSETOOLS.csr_matvecs(rows, columns, n, *matrix, dense.ravel(), product.ravel())
        return product
