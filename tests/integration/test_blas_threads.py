"""Matrix products on one thread of OpenBLAS, whose number of threads is its owner's again afterwards."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper import blas_threads
from autorag_whisper.audio.features import log_mel
from autorag_whisper.blas_threads import OneThread, one_blas_thread, opened

if TYPE_CHECKING:
    from pathlib import Path


class Library:
    """A number of threads, and all that it was set to."""

    def __init__(self, threads: int) -> None:
        self.threads, self.told = threads, list[int]()

    def get(self) -> int:
        return self.threads

    def put(self, threads: int) -> None:
        self.threads = threads
        self.told.append(threads)

    def one(self) -> OneThread:
        return OneThread(self.get, self.put)


def test_within_a_product_there_is_one_thread_and_behind_it_what_there_was() -> None:
    library = Library(8)
    one = library.one()
    for expected in (8, 3):
        library.threads = expected  # its owner may change it between two products
        with one.while_computing():
            assert library.threads == 1
        assert library.threads == expected


@given(st.permutations(range(4)))
def test_of_several_at_once_the_last_puts_it_back(order: list[int]) -> None:
    library = Library(8)
    one = library.one()
    products = [one.while_computing() for _ in order]
    for product in products:
        product.__enter__()
    for n in order[:-1]:
        products[n].__exit__(None, None, None)
        assert library.threads == 1
    products[order[-1]].__exit__(None, None, None)
    assert library.told == [1, 8]


def test_a_product_that_fails_puts_it_back() -> None:
    library = Library(8)
    with pytest.raises(ValueError, match="shapes"), library.one().while_computing():
        raise ValueError("shapes")
    assert library.threads == 8


def test_products_of_many_threads_leave_the_number_as_it_was() -> None:
    library, together = Library(8), threading.Barrier(4)
    one = library.one()

    def work() -> None:
        together.wait()
        for _ in range(200):
            with one.while_computing():
                assert library.threads == 1

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert library.threads == 8
    assert set(library.told) <= {1, 8}


def test_the_library_of_numpy_has_one_thread_within_and_its_own_number_afterwards() -> None:
    blas_threads._library.cache_clear()
    library = blas_threads._library()
    if library is None:
        pytest.skip("this NumPy has no OpenBLAS of its own")
    before = library._get()
    with one_blas_thread():
        assert library._get() == 1
    assert library._get() == before
    log_mel(np.ones(16_000, np.float32), 80)
    assert library._get() == before


def test_files_that_are_no_such_library_change_nothing(tmp_path: Path) -> None:
    stray = tmp_path / "libopenblas.so"
    stray.write_bytes(b"no library")
    assert opened([stray, tmp_path / "missing"]) is None
