"""The complete linear map between weight spaces that commutes with every permutation of neurons.

Each array becomes a *feature*: its group axes first, in the Symmetry's order, then channels; fixed axes (inputs,
outputs) are flattened into the channels, so that nothing is lost along them. Between an array with groups A and
one with groups B the equivariant linear maps are spanned by one term for each set S of groups in A and B both:

    average the source over A - S, mix channels, repeat the result over B - S

So the whole layer is one matrix for each set S, applied to the concatenated averages of every source that has S:

    out_B = bias_B + sum over S in B of  repeat_S( concat over A with S in A of mean_{A - S}(in_A)  @  K_S )

For a multilayer perceptron these are the DWS blocks: a hidden W_i to itself has the 4 terms {}, {h_i}, {h_i+1},
{h_i, h_i+1}; to W_{i+1} the terms {} and {h_{i+1}}; W_0 and W_{L-1} carry d_0 F and d_L F channels. An array that
carries a group on several axes (a recurrent kernel) has diagonals as well, and a group within others is in S only
together with these, `wsjax.models.layers.terms`; an array with a concatenated axis is read as one feature for each
part, `wsjax.models.layers.feature_layout`.

Source: arXiv 2301.12780, section 5 and appendix; the same span from partitions of axes in arXiv 2402.05232. The
public code of the first builds two blocks into W_{L-1} (from W_{L-2}, and from b_i, i < L-2) constant along the
output axis; here every block reaches every output.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from wsjax.errors import check_choice
from wsjax.models.layers.draws import full, normal
from wsjax.models.layers.feature_layout import Feature, features, group_names
from wsjax.models.layers.stack import check_arguments
from wsjax.models.layers.terms import POOLINGS, Pattern, Term, patterns, terms
from wsjax.symmetry import Symmetry
from wsjax.symmetry.spec import check_gains
from wsjax.typing import Key


@dataclass(frozen=True)
class Layout:
    """Where a layer reads and writes: the features, the terms between them, and channels for each fixed entry."""

    spec: tuple[Feature, ...]
    terms: tuple[Term, ...]
    inputs: int
    outputs: int
    pooling: str

    @property
    def widths(self) -> tuple[int, ...]:
        """The channels of each feature that comes out."""
        return tuple(f.fixed * self.outputs for f in self.spec)

    def rows(self, term: Term) -> int:
        """How many channels a term mixes."""
        return sum(self.spec[i].fixed * self.inputs for i, _ in term.reads)

    def initial(self, term: Term, key: Key) -> Array:
        """A term's matrix from N(0, 1 / fan-in), the fan-in of a feature counted over all terms that reach it.

        Rows that read a sum are divided by the number of its summands, so that at initialization it is the average.
        """
        fan_in = [0] * len(self.spec)
        for other in self.terms:
            for i, _ in other.writes:
                fan_in[i] += self.rows(other)
        scale = np.concatenate([np.full(self.widths[i], fan_in[i] ** -0.5) for i, _ in term.writes])[None, :]
        if self.pooling == "sum":
            summands = [(self.spec[i].fixed * self.inputs, p.pooled(self.spec[i].sizes)) for i, p in term.reads]
            scale = scale / np.concatenate([np.full(*one) for one in summands])[:, None]
        return normal(key, (self.rows(term), scale.shape[1]), scale)

    def biases(self) -> tuple[Array, ...]:
        """Zeros for every write of a constant."""
        return tuple(full(self.widths[i], 0.0) for i, _ in self._constants())

    def _constants(self) -> tuple[tuple[int, Pattern], ...]:
        return next((term.writes for term in self.terms if not term.kind), ())

    def apply(
        self, xs: list[Array], mixers: Sequence[Callable[[Array], Array]], biases: Sequence[Array]
    ) -> list[Array]:
        """The constants plus every term: gather, mix, write."""
        out: list[Array | None] = [None] * len(self.spec)

        def add(i: int, pattern: Pattern, part: Array) -> None:
            written = pattern.write(part, self.spec[i].sizes)
            before = out[i]
            out[i] = written if before is None else before + written

        for (i, pattern), bias in zip(self._constants(), biases, strict=True):
            add(i, pattern, bias)
        for term, mix in zip(self.terms, mixers, strict=True):
            # A split, whose gradient is one concatenation; that of slices would be a sum of padded arrays.
            parts = jax.lax.split(mix(term.gather(xs, self.pooling)), [self.widths[i] for i, _ in term.writes], -1)
            for (i, pattern), part in zip(term.writes, parts, strict=True):
                add(i, pattern, part)
        return [x for x in out if x is not None]


def layout(symmetry: Symmetry, inputs: int, outputs: int, *, pooling: str = "mean", signs: bool = False) -> Layout:
    check_arguments(symmetry, Symmetry, 1, inputs=inputs, outputs=outputs)
    check_choice("pooling", pooling, tuple(POOLINGS))
    if signs and pooling == "max":
        raise ValueError("pooling is 'max' with signs, which no maximum respects; expected 'mean' or 'sum'")
    if signs:
        check_gains(symmetry, "maps with signs")
    allowed = {name for name, group in symmetry.groups.items() if signs and group.allows("sign")}
    signed = frozenset(name for name, group in group_names(symmetry).items() if group in allowed)
    spec = features(symmetry)
    return Layout(spec, terms(spec, signed), inputs, outputs, pooling)


class EquivariantLinear(eqx.Module):
    """The complete equivariant affine map from features to features of one Symmetry.

    `inputs` and `outputs` are channels for each entry of an array's fixed axes: an array with d fixed entries goes
    from d * inputs to d * outputs channels.

    **Preserves** equivariance: L(g x) = g L(x) for every permutation g of every group; with `signs` for every signed
    permutation of the groups that allow "sign". What follows a layer with signs must be odd, f(-x) = -f(x) for each
    entry (tanh, x |x|), or a product with numbers that no sign changes; a ReLU or a gate of two halves would break
    it, and so would a normalizer that shifts.

    `pooling` is what stands for the average: `"sum"`, which is the average at initialization and can count neurons, or
    `"max"`, which is equivariant but no longer linear.

    Raises: ValueError for an unknown pooling, a maximum with signs, or channels below 1.

    Example:
        >>> import jax
        >>> from wsjax.symmetry import siren
        >>> layer = EquivariantLinear(siren((2, 4, 4, 1)), 1, 3, key=jax.random.key(0))
        >>> sum(k.size for k in layer.kernels)   # 3 channels times the number of basis maps
        225
        >>> layer = EquivariantLinear(siren((2, 3, 3, 1)), 1, 1, signs=True, key=jax.random.key(0))
        >>> sum(k.size for k in layer.kernels)
        15
    """

    kernels: tuple[Array, ...]
    biases: tuple[Array, ...]
    layout: Layout = eqx.field(static=True)

    def __init__(
        self, symmetry: Symmetry, inputs: int, outputs: int, *, pooling: str = "mean", signs: bool = False, key: Key
    ):
        """Kernels from N(0, 1 / fan-in), the fan-in of an array counted over all terms that reach it; zero biases."""
        self.layout = layout(symmetry, inputs, outputs, pooling=pooling, signs=signs)
        keys = [jax.random.fold_in(key, i) for i in range(len(self.layout.terms))]
        self.kernels = tuple(self.layout.initial(term, k) for term, k in zip(self.layout.terms, keys, strict=True))
        self.biases = self.layout.biases()

    def __call__(self, xs: list[Array]) -> list[Array]:
        """Features of one network, each (*groups, channels), to features."""
        return self.layout.apply(xs, [lambda source, k=k: source @ k for k in self.kernels], self.biases)


def invariant(xs: list[Array], spec: tuple[Feature, ...], pooling: str = "mean") -> Array:
    """The average of every feature over all its groups, side by side: what no permutation can change.

    A feature that carries a group on several axes gives the averages of its diagonals too.
    """
    return jnp.concatenate([pattern.read(x, pooling) for x, f in zip(xs, spec, strict=True) for pattern in pooled(f)])


def pooled(feature: Feature) -> list[Pattern]:
    """The reads of a feature that keep none of its axes."""
    return [pattern for kind, pattern in patterns(feature, frozenset()) if not kind]
