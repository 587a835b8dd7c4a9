"""What may be observed and done: observations as one array, and spaces as JSON in an agent's checkpoint."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Space, Tuple
from jaxtyping import Shaped

from rlhub.core.errors import UserError


def observation_box(space: Space[Any], env: str) -> Box:
    """The space of observations once `flatten_batch` has made one array of them; a Box stays as it is.

    Raises:
        UserError: observations are text, graphs or sequences, which no agent here reads, or hold nothing.
    """
    numbers = width(space, env)
    if not numbers:
        raise UserError(f"{env} shows observations without a single number, {space}: wrap the environment, and show a constant")
    return space if isinstance(space, Box) else Box(-np.inf, np.inf, (numbers,), np.float32)


def width(space: Space[Any], env: str) -> int:
    """Numbers in one flattened observation."""
    match space:
        case Discrete():
            return int(space.n)
        case MultiDiscrete():
            return int(space.nvec.sum())
        case Box() | MultiBinary():
            return int(np.prod(space.shape))
        case Dict():
            return sum(width(part, env) for part in space.spaces.values())
        case Tuple():
            return sum(width(part, env) for part in space.spaces)
    raise UserError(
        f"{env} shows observations of the kind {type(space).__name__}; agents here read boxes, discrete and binary spaces, and dicts and "
        "tuples of them: wrap the environment"
    )


def flatten_batch(space: Space[Any], observations: Any, count: int) -> Shaped[np.ndarray, "environments ..."]:
    """A batch of observations as one array: a Box's as they are, all others side by side as float32, discrete ones as one-hot."""
    if isinstance(space, Box):
        return np.asarray(observations)
    return np.concatenate(_flat_parts(space, observations, count), axis=1)


def _flat_parts(space: Space[Any], values: Any, count: int) -> list[np.ndarray]:
    match space:
        case Discrete():
            return [one_hot(np.asarray(values) - space.start, int(space.n))]
        case MultiDiscrete():
            columns = (np.asarray(values) - space.start).reshape(count, -1)
            return [one_hot(column, int(n)) for column, n in zip(columns.T, space.nvec.flat, strict=True)]
        case Dict():
            return [flat for key, part in space.spaces.items() for flat in _flat_parts(part, values[key], count)]
        case Tuple():
            return [flat for part, value in zip(space.spaces, values, strict=True) for flat in _flat_parts(part, value, count)]
    return [np.asarray(values, dtype=np.float32).reshape(count, -1)]


def one_hot(values: Shaped[np.ndarray, " rows"], count: int) -> Shaped[np.ndarray, "rows count"]:
    """Rows that are 1 in one place and 0 elsewhere."""
    rows = np.zeros((len(values), count), dtype=np.float32)
    rows[np.arange(len(values)), values.astype(np.int64)] = 1
    return rows


def alike(one: Space[Any], other: Space[Any]) -> bool:
    """Whether an agent that was made for one space can serve the other: their numbers may have other bounds, all else is the same."""
    if type(one) is not type(other) or one.shape != other.shape:
        return False
    match one, other:
        case Discrete(), Discrete():
            return bool(one.n == other.n)
        case MultiDiscrete(), MultiDiscrete():
            return np.array_equal(one.nvec, other.nvec)
        case Dict(), Dict():
            return one.keys() == other.keys() and all(alike(part, other[key]) for key, part in one.items())
        case Tuple(), Tuple():
            return len(one) == len(other) and all(map(alike, one, other))
    return True


def describe_space(space: Space[Any]) -> dict[str, Any]:
    """A space as JSON values; `space_of` is its inverse."""
    match space:
        case Box():
            bounds = {"low": _compact(space.low), "high": _compact(space.high)}
            return {"kind": "box", "shape": list(space.shape), "dtype": str(space.dtype), **bounds}
        case Discrete():
            return {"kind": "discrete", "n": int(space.n), "start": int(space.start)}
        case MultiDiscrete():
            return {"kind": "multi_discrete", "nvec": space.nvec.tolist(), "start": space.start.tolist()}
        case MultiBinary():
            return {"kind": "multi_binary", "shape": list(space.shape)}
        case Dict():
            return {"kind": "dict", "parts": {key: describe_space(part) for key, part in space.spaces.items()}}
        case Tuple():
            return {"kind": "tuple", "parts": [describe_space(part) for part in space.spaces]}
    raise TypeError(f"no agent reads or acts in a {type(space).__name__}")


def space_of(described: Mapping[str, Any]) -> Space[Any]:
    """The space that `describe_space` described."""
    match described["kind"]:
        case "box":
            shape, dtype = tuple(described["shape"]), np.dtype(described["dtype"])
            low, high = (np.broadcast_to(np.asarray(described[end], dtype=dtype), shape) for end in ("low", "high"))
            return Box(low, high, shape, dtype.type)
        case "discrete":
            return Discrete(described["n"], start=described["start"])
        case "multi_discrete":
            return MultiDiscrete(np.array(described["nvec"]), start=np.array(described["start"]))
        case "multi_binary":
            return MultiBinary(described["shape"])
        case "dict":
            return Dict({key: space_of(part) for key, part in described["parts"].items()})
    return Tuple([space_of(part) for part in described["parts"]])


def _compact(bounds: np.ndarray) -> Any:
    """Bounds as one number where they are all the same, as an image's are."""
    return bounds.flat[0].item() if bounds.size and (bounds == bounds.flat[0]).all() else bounds.tolist()
