"""Loops at the speed of compiled code: numba's compiler, as all functions here use it."""

import inspect
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from numba import get_num_threads, njit


def compiled(function: Callable[..., Any] | None = None, *, parallel: bool = False, inlined: bool = False) -> Any:
    """A function compiled at its first call, and kept on disk for the next process.

    Args:
        function: what is compiled.
        parallel: let `prange` share its passes between the cores.
        inlined: put a copy wherever it is called. A call counts the references of every array that it is given, which takes longer than
            what a short function does with them.
    """
    if function is None:
        return lambda wanted: compiled(wanted, parallel=parallel, inlined=inlined)
    # Where annotations are checked at run time, that wraps the function in Python, which numba can't read.
    return njit(cache=True, nogil=True, parallel=parallel, forceinline=inlined)(inspect.unwrap(function))


def each_run(one: Callable[[int], Any], runs: int) -> list[Any]:
    """What a function gives for each run's number, the runs shared between the cores.

    Compiled functions don't hold Python's lock, and each thread has a random stream of its own, which a run seeds. This costs no
    compilation, where a `prange` of some lines takes seconds, and does as well for runs of a tenth of a millisecond or more.
    """
    with ThreadPoolExecutor(get_num_threads()) as pool:
        return list(pool.map(one, range(runs)))
