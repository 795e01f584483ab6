"""Writes .npy files row by row, without knowing their length beforehand."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np


class NpyAppender:
    """A .npy file that grows by rows; `close` makes it complete. Use as a context manager.

    numpy pads a header so that the length of the first axis can be written anew in place.

    Args:
        path: Must not exist.
        dtype: Of the elements.
        row_shape: Shape without the first axis.
    """

    def __init__(self, path: Path, dtype: Any, row_shape: tuple[int, ...]) -> None:
        self._dtype, self._row_shape = np.dtype(dtype), row_shape
        self.rows = 0
        self._hash = hashlib.sha256()
        self._file = path.open("xb")
        self._write_header()
        self._header_bytes = self._file.tell()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def append(self, rows: np.ndarray) -> None:
        """Add rows [t ...].

        Raises:
            ValueError: another shape, or a dtype that does not fit without loss.
        """
        if rows.shape[1:] != self._row_shape:
            raise ValueError(f"rows of shape {rows.shape[1:]} cannot follow rows of shape {self._row_shape}")
        data = np.ascontiguousarray(rows.astype(self._dtype, casting="safe", copy=False)).data
        self._hash.update(data)
        self._file.write(data)
        self.rows += len(rows)

    @property
    def sha256(self) -> str:
        """Of all rows so far, without the header."""
        return self._hash.hexdigest()

    def close(self) -> None:
        """Write the true length and force everything to the disk. Safe to call twice."""
        if self._file.closed:
            return
        self._file.seek(0)
        self._write_header()
        if self._file.tell() != self._header_bytes:
            raise RuntimeError("numpy wrote a header of another length")  # a change in numpy, not an input
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def _write_header(self) -> None:
        np.lib.format.write_array_header_1_0(
            self._file,
            {
                "shape": (self.rows, *self._row_shape),
                "fortran_order": False,
                "descr": np.lib.format.dtype_to_descr(self._dtype),
            },
        )


def open_rows(path: Path) -> np.ndarray:
    """Return the array of a .npy file without reading it: pages come from the disk when rows are used. Read-only.

    Raises:
        OSError, ValueError: missing, damaged, or shorter than its header says.
    """
    return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
