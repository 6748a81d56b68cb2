"""`WeightDataset`: stacked networks with labels, columns and metadata."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Sharding
from jax.typing import DTypeLike
from jaxtyping import ArrayLike, PyTree, Shaped

from wsjax.data.metadata import Metadata
from wsjax.data.sources.images import SPLITS, check_splits, divided, split_counts
from wsjax.data.views import Selectable, gather
from wsjax.errors import (
    DataError,
    check_choice,
    check_finite,
    check_index,
    check_several,
    check_shape,
    check_structure,
    leaf_names,
)
from wsjax.floats import on_device
from wsjax.symmetry import Symmetry
from wsjax.symmetry import check as prove
from wsjax.typing import Key

if TYPE_CHECKING:
    from wsjax.models import Normalizer

STORABLE = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("bfloat16", "float16", "float32", "float64", "complex64", "complex128"),
)
"""The dtypes of a data set's arrays."""
KINDS = {"image": np.int32, "view": np.int32, "split": np.int8}
"""The columns that tell networks apart, which are integers, and their usual dtypes."""
FLOATS = ("float32", "bfloat16", "float16")
"""The dtypes that weights may be given."""
Place: TypeAlias = jax.Device | Sharding  # pyright: ignore[reportInvalidTypeForm]


@dataclass(frozen=True, eq=False, repr=False)
class WeightDataset(Selectable):
    """Networks stacked in one pytree, with a leading axis of networks.

    weights: the networks, NumPy or JAX arrays; label: (networks,) int32 classes, or (networks, ...) float targets;
    columns: one number a network, among them `split` (an index into `SPLITS`), `image` (its number in the source),
    `view` (which of the networks fitted to that image) and, for fitted ones, `psnr` in dB; metadata: what they are.
    """

    weights: PyTree
    label: Shaped[np.ndarray, " networks *target"]
    columns: dict[str, Shaped[np.ndarray, " networks"]]
    metadata: Metadata

    def __post_init__(self):
        leaves, structure = jax.tree.flatten(self.weights)
        if len(leaves) == len(self.symmetry.names):  # another structure is named below
            leaves = [storable(name, leaf) for name, leaf in zip(self.symmetry.names, leaves, strict=True)]
            object.__setattr__(self, "weights", jax.tree.unflatten(structure, leaves))
        object.__setattr__(self, "label", storable("label", self.label))
        columns = {name: storable(f"column {name!r}", column) for name, column in self.columns.items()}
        object.__setattr__(self, "columns", columns)
        if not self.label.ndim or 0 in self.label.shape[1:]:
            raise DataError(f"label has shape {self.label.shape}; expected a number, or several, for each network")
        count = len(self.label)
        check_structure(self.weights, self.symmetry.treedef, f"the metadata of {self.metadata.name}")
        leaves = jax.tree.leaves(self.weights)
        for name, leaf, shape in zip(self.symmetry.names, leaves, self.symmetry.shapes, strict=True):
            expected = f"{count} labels and the metadata of {self.metadata.name}"
            check_shape(name, np.shape(leaf), (count, *shape), expected)
        for name, column in self.columns.items():
            if np.shape(column) != (count,) or not jnp.issubdtype(column.dtype, np.number):
                found = f"shape {np.shape(column)} and dtype {column.dtype}"
                raise DataError(f"column {name!r} has {found}; expected ({count},) numbers, one for each label")
        if "split" not in self.columns:
            raise DataError(
                f"the columns {sorted(self.columns)} lack 'split'; expected an index into {SPLITS} a network"
            )
        check_splits(self.columns["split"], self.metadata.name)
        for name in KINDS:
            if name in self.columns:  # in the dtype that they have, as a store gives them back bit for bit
                as_integers(f"column {name!r}", self.columns[name], np.int64)

    def __len__(self) -> int:
        return len(self.label)

    def __repr__(self) -> str:
        return f"WeightDataset({self.metadata.name!r}, {len(self)} networks: {split_counts(self.columns['split'])})"

    @property
    def symmetry(self) -> Symmetry:
        return self.metadata.symmetry

    def normalizer(self) -> "Normalizer":
        """The normalizer of readers of this data set; raises ValueError where the metadata lacks statistics."""
        from wsjax.models.layers.normalizer import normalizer

        return normalizer(self.symmetry, self.metadata.statistics)

    def with_statistics(self) -> "WeightDataset":
        """The same networks, with the statistics of their training split in the metadata."""
        return replace(self, metadata=self.metadata.with_statistics(self.weights, training_rows(self.columns["split"])))

    def astype(self, dtype: DTypeLike) -> "WeightDataset":
        """The networks with floating-point weights in float32, bfloat16 or float16, and the statistics of those.

        Raises:
            ValueError: another dtype; a DataError: a number too large for it.

        Example:
            `networks` is a data set of 40 SIRENs.

            >>> networks.astype("bfloat16").weights[0].kernel.dtype
            dtype(bfloat16)
        """
        check_choice("dtype", dtype if isinstance(dtype, str) else jnp.dtype(dtype).name, FLOATS)
        one = lambda x: np.asarray(x).astype(jnp.dtype(dtype)) if jnp.issubdtype(x.dtype, jnp.floating) else x
        with np.errstate(over="ignore"):
            weights = jax.tree.map(one, self.weights)
        way_out = "Those numbers are too large for it: take bfloat16 or float32."
        check_finite(weights, f"converting {self.metadata.name} to {jnp.dtype(dtype)}", way_out)
        return replace(self, weights=weights).with_statistics()

    def to_device(self, place: Place | None = None) -> "WeightDataset":
        """A copy of all networks on a device; labels and columns, a few bytes each, stay on the host.

        Args:
            place: a device, or a sharding of the leading axis such as `NamedSharding(devices.data_mesh(), P("batch"))`;
                None takes the default device.

        Raises:
            ValueError: weights of 64 bits where JAX has none, or networks that a sharding does not divide.
        """
        for name, leaf in zip(self.symmetry.names, jax.tree.leaves(self.weights), strict=True):
            narrowed = jax.dtypes.canonicalize_dtype(leaf.dtype)
            if narrowed != leaf.dtype:
                floats = "call astype('float32'), or " * jnp.issubdtype(leaf.dtype, jnp.floating)
                raise ValueError(
                    f"{name} is {leaf.dtype}, which JAX would make {narrowed}; expected a dtype that it has: {floats}"
                    f"set jax_enable_x64"
                )
        if isinstance(place, Sharding):
            try:
                place.shard_shape((len(self),))
            except ValueError as error:
                raise ValueError(
                    f"{len(self)} networks do not divide over the sharding {place} ({error}); expected the same number "
                    f"for each device: take() as many"
                ) from None
        return replace(self, weights=on_device(self.weights, place))

    def random_split(self, key: Key, fractions: Sequence[float]) -> "WeightDataset":
        """The same networks in other splits, drawn at random, with statistics of the new training split.

        All networks of one object (equal numbers in the column "image") come into one split.

        Args:
            key: a typed key.
            fractions: of the objects, for training, validation and test, such as `(0.8, 0.1, 0.1)`; they sum to 1.

        Raises:
            TypeError, ValueError: a number in place of a key; other than three fractions in [0, 1] that sum to 1.

        Example:
            `networks` is a data set of 40 networks.

            >>> networks.random_split(jax.random.key(0), (0.8, 0.1, 0.1))
            WeightDataset('digits', 40 networks: 32 train, 4 validation, 4 test)
        """
        if not isinstance(key, jax.Array):
            raise TypeError(f"key is {key!r}; expected a key: jax.random.key({key if isinstance(key, int) else 0})")
        objects, place = np.unique(self.columns.get("image", np.arange(len(self))), return_inverse=True)
        order = np.asarray(jax.random.permutation(key, len(objects)))
        split = divided(order, np.asarray(fractions, float))[place]
        return replace(self, columns={**self.columns, "split": split}).with_statistics()

    def network(self, row: int) -> PyTree:
        """One network's weights. Raises IndexError for a row that there is not."""
        check_index("network", row, len(self))
        return jax.tree.map(lambda leaf: leaf[row], self.weights)

    def take(self, rows: np.ndarray | slice) -> "WeightDataset":
        """The networks of some rows, in that order, under the same metadata.

        Evenly spaced rows, such as a slice, share the memory of this data set's NumPy arrays; others are copied.
        """
        weights, label, columns = gather((self.weights, self.label, self.columns), rows, len(self))
        return WeightDataset(weights, label, columns, self.metadata)

    view = take

    def in_memory(self) -> "WeightDataset":
        """Itself; stored data sets and collections are read."""
        return self

    @classmethod
    def from_networks(
        cls,
        networks: Sequence[PyTree],
        labels: ArrayLike | Sequence[float],
        *,
        symmetry: Symmetry,
        apply: Callable[..., PyTree] | None = None,
        inputs: ArrayLike | tuple[ArrayLike, ...] | None = None,
        columns: Mapping[str, ArrayLike | Sequence[float]] | None = None,
        name: str = "networks",
        classes: Sequence[str] | None = None,
        source: Mapping[str, Any] | None = None,
    ) -> "WeightDataset":
        """A data set of your own networks, of one architecture.

        Args:
            networks: each network's weights: any pytree of arrays, a Flax variables dict for example.
            labels: one a network: integers for classes, floats for targets.
            symmetry: of the networks, a tree of `Axes` closed by `symmetry_of`.
            apply, inputs: `apply(weights, *inputs)`; given, `symmetry.check` proves the Symmetry on the first network.
            columns: further numbers, one a network; `split` holds 0, 1, 2 for training, validation and test, without it
                all is training.
            name: the data set's.
            classes: the labels' names; numbers without it.
            source: where the networks come from; must be JSON.

        Raises:
            TypeError: stacked networks, or another thing than a list; one name for `classes`.
            ValueError: a network of another structure, shape or dtype (its position and leaf are named), labels or
                columns of another length, a number that is not finite, or a Symmetry that `apply` refutes.

        Example:
            >>> import numpy as np
            >>> from wsjax.symmetry import Axes, Fixed, Group, symmetry_of
            >>> axes = {"hidden": Axes("in", "h"), "out": Axes("h*", "out")}
            >>> spec = symmetry_of(axes, {"in": Fixed(2), "h": Group(3, "tanh"), "out": Fixed(1)})
            >>> networks = [{"hidden": np.full((2, 3), i), "out": np.ones((3, 1))} for i in (0.5, 1.5)]
            >>> WeightDataset.from_networks(networks, [0, 1], symmetry=spec)
            WeightDataset('networks', 2 networks: 2 train, 0 validation, 0 test)
        """
        listed = hasattr(networks, "__len__") and not isinstance(networks, Mapping)
        if not listed or jax.tree.structure(networks) == symmetry.treedef:
            raise TypeError(
                f"networks is a {type(networks).__name__}; expected a list of networks, each one tree: of stacked "
                f"arrays, [jax.tree.map(lambda leaf: leaf[i], networks) for i in range(count)]"
            )
        check_several("classes", classes)
        if not len(networks):
            raise ValueError("there are no networks; expected at least one")
        refuse_keys(leaf_names(networks[0]), jax.tree.leaves(networks[0]))
        if apply is not None:
            if inputs is None:
                raise ValueError("apply is given without inputs; expected what it takes after the weights: pass them")
            arguments = inputs if isinstance(inputs, tuple) else (inputs,)
            prove(apply, symmetry, networks[0], *arguments, key=jax.random.key(0))
        weights = _stack(networks, symmetry)
        check_finite(weights, f"the networks of {name}", "Leave those networks out.")
        label = _labels(labels, len(networks))
        integers = np.issubdtype(label.dtype, np.integer)
        if classes and not integers:
            raise ValueError(
                f"labels are floats, which are targets, and classes has {len(classes)} names; expected integers for "
                f"classes: give labels as integers, or leave classes out"
            )
        names = [str(i) for i in range(int(label.max()) + 1)] if integers and classes is None else classes or ()
        if integers and label.max() >= len(names):
            raise ValueError(
                f"labels run to {label.max()}; classes has {len(names)} names: expected one for each label"
            )
        rows = np.arange(len(networks), dtype=np.int32)
        given = {n: np.asarray(c) for n, c in (columns or {}).items()}
        filled = {"image": rows, "view": np.zeros_like(rows), "split": np.zeros(len(rows), np.int8), **given}
        kind = "class" if integers else "target"
        metadata = Metadata(name, None, symmetry, label=kind, classes=tuple(names), source=dict(source or {}))
        return cls(weights, label, filled, metadata).with_statistics()


def storable(name: str, array: Any) -> Any:
    """An array in the machine's byte order, of a dtype that a store holds; raises DataError for others."""
    refuse_keys([name], [array])
    if isinstance(array, np.ndarray | np.generic):
        array = np.asarray(array)
        array = array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))
    if array.dtype.name not in STORABLE:
        raise DataError(
            f"{name} has dtype {array.dtype}; expected one of {', '.join(STORABLE)}, which a store holds: convert it, "
            f"as by array.astype(numpy.float32)"
        )
    return array


def refuse_keys(names: Sequence[str], leaves: Sequence[Any]) -> None:
    """Raise DataError for a key of random numbers among a network's leaves, as dropout leaves one in a Flax module."""
    for name, leaf in zip(names, leaves, strict=True):
        if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            raise DataError(
                f"{name} is a key of random numbers ({leaf.dtype}); expected numbers: leave keys out, as by "
                f"flax.nnx.split(module, flax.nnx.Param, ...), or give jax.random.key_data of it"
            )


def as_integers(name: str, numbers: Any, dtype: Any) -> np.ndarray:
    """Integers in another dtype. Raises DataError for floats, and for one that the dtype would cut to another."""
    array, limits = np.asarray(numbers), np.iinfo(dtype)
    if not np.issubdtype(array.dtype, np.integer):
        raise DataError(f"{name} has dtype {array.dtype}; expected integers: convert it, as by array.astype(int)")
    if array.size and not limits.min <= array.min() <= array.max() <= limits.max:
        raise DataError(
            f"{name} runs from {array.min()} to {array.max()}; expected integers of {limits.dtype}, from "
            f"{limits.min} to {limits.max}: number them anew"
        )
    return array.astype(dtype)


def check_numbers(dataset: WeightDataset, doing: str) -> None:
    """Raise DataError where weights or labels are not finite; what was being done, such as "saving", is named."""
    name, way_out = dataset.metadata.name, "Leave those networks out with take()."
    check_finite(dataset.weights, f"{doing} {name}", way_out)
    check_finite(dataset.label, f"{doing} {name}", way_out, "label")


def training_rows(split: np.ndarray) -> np.ndarray:
    """The rows that statistics are taken from: the training split, or all where it is empty."""
    rows = np.flatnonzero(split == SPLITS.index("train"))
    return rows if len(rows) else np.arange(len(split))


def check_classes(dataset: Any) -> None:
    """Raise ValueError unless every label of a data set, stored or not, is the number of a class of its metadata."""
    label, classes, name = dataset.label, len(dataset.metadata.classes), dataset.metadata.name
    if label.ndim != 1 or not np.issubdtype(label.dtype, np.integer):
        raise ValueError(
            f"the labels of {name} have shape {label.shape} and dtype {label.dtype}; expected one integer a "
            f"network, its class: give the labels as label.astype(int), or, to a training, targets as floats"
        )
    if label.size and not 0 <= label.min() <= label.max() < classes:
        raise ValueError(
            f"the labels of {name} run from {label.min()} to {label.max()}; its metadata names {classes} classes: "
            f"expected labels from 0 to {classes - 1}. Name every class in the metadata"
        )


def _labels(labels: ArrayLike | Sequence[float], count: int) -> np.ndarray:
    label = np.asarray(labels)
    if label.ndim == 0 or len(label) != count:
        raise ValueError(f"labels have shape {label.shape}; expected one for each of {count} networks")
    if jnp.issubdtype(label.dtype, np.floating):
        with np.errstate(over="ignore"):
            single = label.astype(np.float32)
        if not np.isfinite(single).all():
            rows = np.flatnonzero(~np.isfinite(single.reshape(count, -1)).all(axis=1))
            raise DataError(f"labels are not finite for networks {rows[:5].tolist()}; leave those networks out")
        return single
    if label.ndim != 1 or not np.issubdtype(label.dtype, np.integer) or label.min() < 0:
        begin = f" and begin at {label.min()}" if np.issubdtype(label.dtype, np.number) else ""
        raise ValueError(
            f"labels have shape {label.shape} and dtype {label.dtype}{begin}; expected ({count},) integers "
            f"from 0, or floats for targets"
        )
    return as_integers("labels", label, np.int32)


def _stack(networks: Sequence[PyTree], symmetry: Symmetry) -> PyTree:
    names, dtypes = symmetry.names, [np.asarray(leaf).dtype for leaf in jax.tree.leaves(networks[0])]
    for i, network in enumerate(networks):
        try:
            check_structure(network, symmetry.treedef, "the given Symmetry")
            leaves = jax.tree.leaves(network)
            for name, leaf, shape, dtype in zip(names, leaves, symmetry.shapes, dtypes, strict=True):
                check_shape(name, np.shape(leaf), shape, "the given Symmetry")
                if np.asarray(leaf).dtype != dtype:
                    found = np.asarray(leaf).dtype
                    raise ValueError(f"{name} has dtype {found}; network 0 has {dtype}: convert one of them")
        except ValueError as error:
            raise ValueError(f"network {i}: {error}") from None
    return jax.tree.map(lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves]), *networks)
