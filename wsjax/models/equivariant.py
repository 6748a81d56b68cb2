"""The complete linear map between weight spaces that commutes with every permutation of neurons.

Each array becomes a *feature*: its group axes first, in the Symmetry's order, then channels; fixed axes (inputs,
outputs) are flattened into the channels, so that nothing is lost along them. Between an array with groups A and
one with groups B the equivariant linear maps are spanned by one term for each set S of groups in A and B both:

    average the source over A - S, mix channels, repeat the result over B - S

So the whole layer is one matrix for each set S, applied to the concatenated averages of every source that has S:

    out_B = bias_B + sum over S in B of  repeat_S( concat over A with S in A of mean_{A - S}(in_A)  @  K_S )

For a multilayer perceptron these are the DWS blocks: a hidden W_i to itself has the 4 terms {}, {h_i}, {h_i+1},
{h_i, h_i+1}; to W_{i+1} the terms {} and {h_{i+1}}; W_0 and W_{L-1} carry d_0 F and d_L F channels.

Source: arXiv 2301.12780, section 5 and appendix; the same span from partitions of axes in arXiv 2402.05232. The
public code of the first builds two blocks into W_{L-1} (from W_{L-2}, and from b_i, i < L-2) constant along the
output axis; here every block reaches every output.
"""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from wsjax.symmetry import Symmetry
from wsjax.symmetry.axes import Axes, Entry, Sum, base, size
from wsjax.typing import Key

Subset = frozenset[str]


def expand(axes: Axes, leaf: str) -> list[str]:
    """The names of an array's axes once products are unfolded, for arrays this layer can read.

    Raises ValueError for a `Sum` axis and for a group that stands twice in one array.
    """
    names: list[str] = []
    for entry in axes.entries:
        _unfold(entry, leaf, names)
    return names


def _unfold(entry: Entry, leaf: str, names: list[str]) -> None:
    if isinstance(entry, Sum):
        raise ValueError(f"{leaf} has a concatenated axis, Sum{entry.parts}; split that array in two to read it")
    if isinstance(entry, str):
        names.append(base(entry))
        return
    for part in entry:
        _unfold(part, leaf, names)


class Feature(eqx.Module):
    """How one array becomes a feature: the groups it has, in order, and how many entries its fixed axes hold."""

    groups: tuple[str, ...] = eqx.field(static=True)
    fixed: int = eqx.field(static=True)
    shape: tuple[int, ...] = eqx.field(static=True)
    order: tuple[int, ...] = eqx.field(static=True)

    def lift(self, leaf: Array) -> Array:
        """An array of one network as (*groups, channels)."""
        moved = jnp.transpose(leaf.reshape(self.shape), self.order)
        return moved.reshape(*moved.shape[: len(self.groups)], self.fixed)


def features(symmetry: Symmetry) -> tuple[Feature, ...]:
    """The feature of every array of a Symmetry.

    Example:
        >>> from wsjax.symmetry import siren
        >>> [f.groups for f in features(siren((2, 8, 8, 1)))]
        [('h1',), ('h1',), ('h1', 'h2'), ('h2',), ('h2',), ()]
    """
    sizes, ranks = symmetry.sizes, list(symmetry.groups)
    made = []
    for name, axes in zip(symmetry.names, symmetry.axes, strict=True):
        parts = expand(axes, name)
        groups = [p for p in parts if p in ranks]
        doubled = [g for g in dict.fromkeys(groups) if groups.count(g) > 1]
        if doubled:
            raise ValueError(
                f"{name} has the group {doubled[0]!r} on two of its axes; expected each group once an array: read such "
                f"networks with models.Probe, or with models.FlatMLP"
            )
        at_groups = sorted((ranks.index(p), i) for i, p in enumerate(parts) if p in ranks)
        at_fixed = [i for i, p in enumerate(parts) if p not in ranks]
        fixed = size(tuple(parts[i] for i in at_fixed), sizes) if at_fixed else 1
        order = (*[i for _, i in at_groups], *at_fixed)
        made.append(Feature(tuple(ranks[r] for r, _ in at_groups), fixed, tuple(sizes[p] for p in parts), order))
    return tuple(made)


def subsets(spec: tuple[Feature, ...]) -> list[Subset]:
    """Every set of groups that some array has, smallest first, in a fixed order."""
    found: dict[Subset, None] = {}
    largest = max(len(f.groups) for f in spec)
    for count in range(largest + 1):
        for feature in spec:
            for chosen in itertools.combinations(feature.groups, count):
                found[frozenset(chosen)] = None
    return list(found)


def mean_to(x: Array, feature: Feature, keep: Subset) -> Array:
    """The average of a feature over all its groups but those kept."""
    axes = tuple(i for i, g in enumerate(feature.groups) if g not in keep)
    return jnp.mean(x, axis=axes) if axes else x


def repeat_from(y: Array, feature: Feature, have: Subset) -> Array:
    """A term over some of a feature's groups with axes of length one for the others."""
    return jnp.expand_dims(y, [i for i, g in enumerate(feature.groups) if g not in have])


class EquivariantLinear(eqx.Module):
    """The complete equivariant affine map from features to features of one Symmetry.

    `inputs` and `outputs` are channels for each entry of an array's fixed axes: an array with d fixed entries goes
    from d * inputs to d * outputs channels.

    **Preserves** equivariance: L(g x) = g L(x) for every permutation g of every group.

    Example:
        >>> import jax
        >>> from wsjax.symmetry import siren
        >>> layer = EquivariantLinear(siren((2, 4, 4, 1)), 1, 3, key=jax.random.key(0))
        >>> sum(k.size for k in layer.kernels)   # 3 channels times the number of basis maps
        225
    """

    kernels: tuple[Array, ...]
    biases: tuple[Array, ...]
    spec: tuple[Feature, ...] = eqx.field(static=True)
    subsets: tuple[Subset, ...] = eqx.field(static=True)
    widths: tuple[int, ...] = eqx.field(static=True)

    def __init__(self, symmetry: Symmetry, inputs: int, outputs: int, *, key: Key):
        """Kernels from N(0, 1 / fan-in), the fan-in of an array counted over all terms that reach it; zero biases."""
        self.spec = features(symmetry)
        self.subsets = tuple(subsets(self.spec))
        self.widths = tuple(f.fixed * outputs for f in self.spec)
        fan_in = [0] * len(self.spec)
        for chosen in self.subsets:
            members = self._members(chosen)
            for i in members:
                fan_in[i] += sum(self.spec[j].fixed * inputs for j in members)
        kernels = []
        for s, chosen in enumerate(self.subsets):
            members = self._members(chosen)
            rows = sum(self.spec[j].fixed * inputs for j in members)
            scale = jnp.concatenate([jnp.full(self.widths[i], fan_in[i] ** -0.5) for i in members])
            kernels.append(jax.random.normal(jax.random.fold_in(key, s), (rows, len(scale))) * scale[None, :])
        self.kernels = tuple(kernels)
        self.biases = tuple(jnp.zeros(width) for width in self.widths)

    def _members(self, chosen: Subset) -> list[int]:
        return [i for i, f in enumerate(self.spec) if chosen <= set(f.groups)]

    def __call__(self, xs: list[Array]) -> list[Array]:
        """Features of one network, each (*groups, channels), to features."""
        out = [b.reshape((1,) * len(f.groups) + b.shape) for b, f in zip(self.biases, self.spec, strict=True)]
        for chosen, kernel in zip(self.subsets, self.kernels, strict=True):
            members = self._members(chosen)
            sources = jnp.concatenate([mean_to(xs[i], self.spec[i], chosen) for i in members], axis=-1)
            mixed = sources @ kernel
            start = 0
            for i in members:
                piece = mixed[..., start : start + self.widths[i]]
                out[i] = out[i] + repeat_from(piece, self.spec[i], chosen)
                start += self.widths[i]
        return out


def invariant(xs: list[Array], spec: tuple[Feature, ...]) -> Array:
    """The average of every feature over all its groups, concatenated: what no permutation can change.

    Args:
        xs: features of one network, each (*groups, channels).
        spec: their Features, from `features(symmetry)`.

    Example:
        >>> from wsjax.symmetry import siren
        >>> spec = features(siren((2, 4, 1)))
        >>> invariant([jnp.ones((4, 2)), jnp.ones((4, 1)), jnp.ones((4, 1)), jnp.ones(1)], spec).shape
        (5,)
    """
    return jnp.concatenate([mean_to(x, f, frozenset()) for x, f in zip(xs, spec, strict=True)])
