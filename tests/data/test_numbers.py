"""Numbers of every kind: what a store is given it gives back bit for bit, or refuses by name where it comes in."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsjax.data import Metadata, WeightDataset, load, open_dataset, save, stream
from wsjax.data.dataset import STORABLE
from wsjax.data.formats import write_arrays, write_state_dicts
from wsjax.errors import DataError
from wsjax.symmetry import Axes, Fixed, symmetry_of

REFUSED = {
    **{name: np.dtype(getattr(ml_dtypes, name)) for name in ("float8_e4m3fn", "float8_e5m2", "int4", "uint4")},
    "longdouble": np.dtype(np.longdouble),
    "str": np.dtype("<U2"),
    "bytes": np.dtype("S2"),
    "object": np.dtype(object),
    "datetime64": np.dtype("M8[s]"),
    "record": np.dtype([("a", np.float32)]),
}
SHAPES = {"scalar": (), "row": (3,), "block": (2, 3, 2), "one": (1,)}
LAYOUTS = {
    "as it is": lambda x: x,
    "big-endian": lambda x: x.astype(x.dtype.newbyteorder(">")) if x.dtype.kind in "iufc" else x,
    "Fortran": np.asfortranarray,
    "strided": lambda x: np.repeat(x, 2, axis=0)[::2],
    "reversed": lambda x: x[::-1].copy()[::-1],
    "read-only": lambda x: np.broadcast_to(x, x.shape),
    "JAX": lambda x: x if x.dtype.itemsize == 8 or x.dtype.kind == "c" else jax.device_put(x),
}
LEAF = st.tuples(
    st.sampled_from((*STORABLE, *REFUSED)), st.sampled_from(tuple(SHAPES)), st.sampled_from(tuple(LAYOUTS))
)


def drawn(dtype: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Three networks' numbers from the whole range of a dtype, without NaN or infinity."""
    kind, count = REFUSED.get(dtype) or jnp.dtype(dtype), (3, *shape)
    raw = np.random.default_rng(seed).integers(0, 256, (*count, max(1, kind.itemsize)), np.uint8)
    if kind.kind in "OUSMV" and dtype not in STORABLE:
        return np.zeros(count, kind)
    if kind.kind == "b":
        return raw[..., 0] > 127
    with np.errstate(all="ignore"):
        numbers = np.ascontiguousarray(raw).view(kind)[..., 0] if kind.itemsize < 16 else raw[..., 0].astype(kind)
        return np.where(np.isfinite(numbers), numbers, kind.type(1)) if kind.kind not in "iu" else numbers


def dataset(weights, **columns) -> WeightDataset:
    axes = {name: Axes(*(f"{name}{i}" for i in range(leaf.ndim - 1))) for name, leaf in weights.items()}
    sizes = {f"{name}{i}": Fixed(n) for name, leaf in weights.items() for i, n in enumerate(leaf.shape[1:])}
    rows = {"split": np.zeros(3, np.int8), **columns}
    return WeightDataset(weights, np.arange(3, dtype=np.int32), rows, Metadata("any", None, symmetry_of(axes, sizes)))


def assert_survives(directory, leaves, shard: int) -> None:
    plain = {f"leaf{i}": drawn(dtype, SHAPES[shape], i) for i, (dtype, shape, _) in enumerate(leaves)}
    given = dataset({f"leaf{i}": LAYOUTS[layout](plain[f"leaf{i}"]) for i, (_, _, layout) in enumerate(leaves)})
    save(given, directory / "set", shard_networks=shard)
    for found in (load(directory / "set"), open_dataset(directory / "set").in_memory()):
        for name, leaf in found.weights.items():
            assert (leaf.dtype, leaf.shape) == (plain[name].dtype, plain[name].shape), name
            assert leaf.tobytes() == plain[name].tobytes(), name


def test_every_dtype_in_every_layout_comes_back_bit_for_bit(tmp_path):
    layouts = [("float32", "block", layout) for layout in LAYOUTS]
    assert_survives(tmp_path, [(dtype, "block", "big-endian") for dtype in STORABLE] + layouts, 2)


@settings(max_examples=6)
@given(st.lists(LEAF, min_size=1, max_size=5), st.integers(1, 3))
def test_what_is_given_comes_back_bit_for_bit_or_is_refused_by_its_name(tmp_path_factory, leaves, shard):
    odd = [i for i, (dtype, _, _) in enumerate(leaves) if dtype in REFUSED]
    if odd:
        weights = {
            f"leaf{i}": LAYOUTS[how](drawn(dtype, SHAPES[shape], i)) for i, (dtype, shape, how) in enumerate(leaves)
        }
        with pytest.raises(DataError, match=rf"weights\['leaf{odd[0]}'\] has dtype .*; expected one of .*convert"):
            dataset(weights)
    elif leaves:
        assert_survives(tmp_path_factory.mktemp("any"), leaves, shard)


def test_labels_and_columns_are_refused_by_name_too():
    weights, rows = {"w": np.ones((3, 2), np.float32)}, np.zeros(3, np.int8)
    for dtype in REFUSED.values():
        with pytest.raises(DataError, match=r"column 'score' has dtype .*; expected one of"):
            dataset(weights, score=np.zeros(3, dtype))
        with pytest.raises(DataError, match=r"label has dtype .*; expected one of"):
            WeightDataset(weights, np.zeros(3, dtype), {"split": rows}, dataset(weights).metadata)
    for column, message in (
        (np.zeros(3, bool), r"column 'image' has shape \(3,\) and dtype bool; expected \(3,\) numbers"),
        (np.zeros(3), "column 'image' has dtype float64; expected integers: convert it"),
        (np.array([0, 1, 2**63], np.uint64), "column 'image' runs from 0 to 9223372036854775808; expected integers"),
    ):
        with pytest.raises(DataError, match=message):
            dataset(weights, image=column)
    with pytest.raises(DataError, match=r"label has shape \(3, 0\); expected a number, or several, for each network"):
        WeightDataset(weights, np.zeros((3, 0)), {"split": rows}, dataset(weights).metadata)


@pytest.mark.usefixtures("untyped")
def test_labels_that_are_no_numbers_are_refused_by_whatever_writes_or_streams_them(tmp_path, fitted):
    label = np.where(np.arange(len(fitted)) == 3, np.nan, 1.0).astype(np.float32)
    metadata = dataclasses.replace(fitted.metadata, label="target", classes=())
    wrong = dataclasses.replace(fitted, label=label, metadata=metadata)
    for call in (
        lambda: save(wrong, tmp_path / "a"),
        lambda: write_arrays(wrong, tmp_path / "b"),
        lambda: write_state_dicts(wrong, tmp_path / "c", progress=False),
        lambda: stream(wrong, 4),
    ):
        with pytest.raises(DataError, match=r"ing digits: label is not finite in 1 of 10 networks \(rows 3\)"):
            call()
    assert not [*tmp_path.iterdir()]
    wrong_labels: tuple[tuple[Any, str], ...] = (
        ([2**40], "labels runs from 1099511627776 .* expected integers of int32"),
        ([1e300], r"labels are not finite for networks \[0\]"),
        (["cat"], r"labels have shape \(1,\) and dtype <U3; expected \(1,\) integers from 0, or floats"),
        ([True], r"labels have shape \(1,\) and dtype bool; expected \(1,\) integers"),
    )
    for labels, message in wrong_labels:
        with pytest.raises(ValueError, match=message):
            WeightDataset.from_networks([fitted.network(0)], labels, symmetry=fitted.symmetry)
