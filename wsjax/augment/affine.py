"""The one map behind every known transformation of the input: the picture turns, moves or zooms,
by an exact change of the weights.

For a first layer that is linear in the coordinate, x K + b,

    f'(x) = f((x - c) A + c + t)      <=>      K' = A K,   b' = b + (c - c A + t) K

Coordinates are rows. The *picture* moves the other way, by the inverse map: what f shows at a point p, f' shows at
the x with (x - c) A + c + t = p. So a shift of +t moves the picture by -t, a scale of 2 makes it half as large; the
README shows a letter under each map (docs/directions.png).
Where a frequency multiplies the kernel alone, sin(w0 x W + b), the bias moves w0 times as far.

No output is touched, so any network downstream of its first layer serves: dense, or any pytree whose Symmetry has
a fixed axis with the role "input". A convolution's input is a colour, not a coordinate: there A mixes the picture's
colours, as exactly, and a shift is refused, for it would have to reach into the padding.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from wsjax.augment.ends import along, check_size, end_axis, numbers_along, place_of
from wsjax.errors import listing
from wsjax.floats import wide
from wsjax.symmetry import Symmetry
from wsjax.symmetry.axes import atoms, consumes
from wsjax.typing import Weights


def affine(
    weights: Weights,
    *,
    symmetry: Symmetry,
    matrix: Float[ArrayLike, "inputs inputs"] | None = None,
    shift: Float[ArrayLike, " inputs"] | None = None,
    centre: Float[ArrayLike, " inputs"] | None = None,
) -> Weights:
    """Look through another frame: f'(x) = f((x - c) A + c + t).

    K' = A K and b' = b + (c - c A + t) K for every kernel K that reads the input and the bias beside it.

    **Transforms** the function exactly so.

    Args:
        weights: one network.
        symmetry: its Symmetry, with a fixed axis of role "input".
        matrix: A, (inputs, inputs), acting on coordinates as rows; None is the identity.
        shift: t, (inputs,), in units of the coordinates; None is 0.
        centre: c, (inputs,), the point that A leaves in place; None is the origin, the centre of an image whose
            coordinates run from -1 to 1.

    Raises:
        ValueError: no input axis, an input axis that is part of a product or a sum, that an array other than a reading
            kernel lies along (a normaliser, a decoder's kernel), a reading kernel without a bias where a shift or
            centre is given, or sizes that do not fit.

    Source: the definitions behind arXiv 2402.04081, section 4. Its code adds the shift at a random depth, which is
    no translation for depths beyond the first.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from wsjax import networks, symmetry
        >>> w = networks.siren_init(jax.random.key(0), (2, 4, 1))
        >>> x, t = jnp.ones((1, 2)), jnp.array([0.5, 0.0])
        >>> moved = affine(w, symmetry=symmetry.siren((2, 4, 1)), shift=t)
        >>> bool(jnp.allclose(networks.siren_apply(moved, x), networks.siren_apply(w, x + t[None, :]), atol=1e-6))
        True
    """
    leaves = symmetry.leaves(weights)
    axis_name, size = end_axis(symmetry, "input")
    check_size("matrix", matrix, ((size, size),), axis_name)
    check_size("shift", shift, ((size,),), axis_name)
    check_size("centre", centre, ((size,),), axis_name)
    moved = list(leaves)
    for i, axis in numbers_along(symmetry, leaves, _readers(symmetry, axis_name), "input").items():
        kernel = leaves[i]
        offset = _offset(matrix, shift, centre, wide(kernel))
        if offset is not None:
            j, factor = _bias_beside(symmetry, i, axis)
            numbers_along(symmetry, leaves, {j: 0}, "input")
            added = (factor * along(offset, kernel, axis)).astype(wide(moved[j]))
            moved[j] = (moved[j].astype(wide(moved[j])) + added).astype(moved[j].dtype)
        if matrix is not None:
            moved[i] = along(matrix, kernel, axis).astype(kernel.dtype)
    return symmetry.unflatten(moved)


def _readers(symmetry: Symmetry, name: str) -> dict[int, int]:
    """The kernels that read the input, and the place of the input among their axes."""
    found = {}
    for i, axes in enumerate(symmetry.axes):
        if name not in axes.names:
            continue
        leaf, place = symmetry.names[i], place_of(name, axes, symmetry.names[i], "input")
        rest = [atom for a, entry in enumerate(axes.entries) if a != place for atom in atoms(entry)]
        if axes.bias or not rest or axes.names.count(name) > 1:
            raise ValueError(
                f"{leaf} lies along the input axis {name!r} and is no kernel that reads it, such as a normaliser of "
                f"the input; the first layer is then not linear in the coordinate: fold it into the first kernel"
            )
        if any(consumes(atom) for atom in rest):
            raise ValueError(
                f"{leaf} makes the axis {name!r} out of neurons, as a decoder does, and does not read it; give what a "
                f"network reads and what it makes two names, one with the role 'input' and one with 'output'"
            )
        found[i] = place
    return found


def _offset(
    matrix: ArrayLike | None, shift: ArrayLike | None, centre: ArrayLike | None, dtype: np.dtype
) -> Float[Array, " inputs"] | None:
    """c - c A + t, or None where no bias need move."""
    t = None if shift is None else jnp.asarray(shift).astype(dtype)
    if matrix is None or centre is None:
        return t
    c = jnp.asarray(centre).astype(dtype)
    drift = c - jnp.matmul(c, jnp.asarray(matrix).astype(dtype), precision="highest")
    return drift if t is None else drift + t


def _bias_beside(symmetry: Symmetry, kernel: int, axis: int) -> tuple[int, float]:
    """The bias that adds to what this kernel makes, and w0 where the frequency multiplies the kernel alone.

    It stands in the kernel's own container, or is the only vector along what the kernel makes: the bias of a
    normalisation adds later, behind its scale, and is not the one.
    """
    made = tuple(e for a, e in enumerate(symmetry.axes[kernel].entries) if a != axis)
    containers = [path[:-1] for path, _ in jax.tree_util.tree_leaves_with_path(symmetry.unflatten(symmetry.axes))]
    vectors = [j for j, axes in enumerate(symmetry.axes) if axes.entries == made]
    biases = [j for j in vectors if symmetry.axes[j].bias]
    own = [j for j in biases if containers[j] == containers[kernel]]
    if len(own) == 1 or (not own and len(vectors) == len(biases) == 1):
        groups = [symmetry.groups[str(entry)] for entry in made if str(entry) in symmetry.groups]
        return (own or biases)[0], next((g.w0 for g in groups if g.w0_convention == "kernel"), 1.0)
    name, found = symmetry.names[kernel], listing(symmetry.names[j] for j in vectors) or "none"
    inside = [str(e) for e in made if e in symmetry.fixed and symmetry.fixed[str(e)].role == "internal"]
    if inside and not vectors:
        raise ValueError(
            f"{name} runs over {listing(inside)} too, as a convolution does: its input is a colour, and a shift or a "
            f"centre would have to reach into the padding; use a transformation with neither, such as a scale"
        )
    raise ValueError(
        f"{name} needs one bias of its own to carry a shift or a centre; vectors along what it makes: {found}. "
        f"Mark its bias with Axes(..., bias=True) and keep it in the kernel's container, or use neither of the two"
    )
