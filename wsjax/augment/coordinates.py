"""Known transformations of the input: the picture turns, moves or zooms, by an exact change of the weights.

All of them are one map. For a first layer that is linear in the coordinate, x K + b,

    f'(x) = f((x - c) A + c + t)      <=>      K' = A K,   b' = b + (c - c A + t) K

Coordinates are rows. The *picture* moves the other way, by the inverse map: what f shows at a point p, f' shows at
the x with (x - c) A + c + t = p. So a shift of +t moves the picture by -t, a scale of 2 makes it half as large.
Where a frequency multiplies the kernel alone, sin(w0 x W + b), the bias moves w0 times as far.

No output is touched, so any network downstream of its first layer serves: dense, or any pytree whose Symmetry has
a fixed axis with the role "input".
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from wsjax.errors import check_number, listing
from wsjax.symmetry import Axes, Symmetry
from wsjax.symmetry.axes import base
from wsjax.typing import Key, Scalar, Weights


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
        ValueError: no input axis, an input axis that is part of a product or a sum, a reading kernel without a bias
            where a shift or centre is given, or sizes that do not fit.

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
    axis_name, size = _input_axis(symmetry)
    _check_size("matrix", matrix, (size, size), axis_name)
    _check_size("shift", shift, (size,), axis_name)
    _check_size("centre", centre, (size,), axis_name)
    offset = None if shift is None else jnp.asarray(shift)
    if matrix is not None and centre is not None:
        c = jnp.asarray(centre)
        drift = c - c @ jnp.asarray(matrix)
        offset = drift if offset is None else offset + drift
    moved = list(leaves)
    for i, axes in enumerate(symmetry.axes):
        if axis_name not in axes.names:
            continue
        axis = axes.entries.index(_plain(axes, axis_name, symmetry.names[i]))
        kernel = leaves[i]
        if offset is not None:
            j, factor = _bias_beside(symmetry, i, axis)
            moved[j] = moved[j] + factor * jnp.tensordot(offset.astype(kernel.dtype), kernel, axes=(0, axis))
        if matrix is not None:
            turned = jnp.tensordot(jnp.asarray(matrix, kernel.dtype), kernel, axes=(1, axis))
            moved[i] = jnp.moveaxis(turned, 0, axis)
    return symmetry.unflatten(moved)


def _input_axis(symmetry: Symmetry) -> tuple[str, int]:
    inputs = {n: d.size for n, d in symmetry.fixed.items() if d.role == "input"}
    if len(inputs) == 1:
        return next(iter(inputs.items()))
    raise ValueError(
        f"coordinate transforms need one fixed axis with the role 'input'; this Symmetry has {len(inputs)} "
        f"({', '.join(inputs) or 'none'}). Declare it as Fixed(size, 'input')."
    )


def _plain(axes: Axes, axis_name: str, leaf: str) -> str:
    for entry in axes.entries:
        if isinstance(entry, str) and base(entry) == axis_name:
            return entry
    raise ValueError(f"{leaf} reads the input inside a product or sum axis; give the input an axis of its own")


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
        group = symmetry.groups.get(str(made[0])) if made else None
        return (own or biases)[0], group.w0 if group is not None and group.w0_convention == "kernel" else 1.0
    name, found = symmetry.names[kernel], listing(symmetry.names[j] for j in vectors) or "none"
    raise ValueError(
        f"{name} needs one bias of its own to carry a shift or a centre; vectors along what it makes: {found}. "
        f"Mark its bias with Axes(..., bias=True) and keep it in the kernel's container, or use neither of the two"
    )


def _check_size(name: str, value: ArrayLike | None, shape: tuple[int, ...], axis: str) -> None:
    if value is not None and jnp.shape(value) != shape:
        raise ValueError(f"{name} has shape {jnp.shape(value)}; the input axis {axis!r} of this network needs {shape}")


def rotation(radians: Scalar) -> Float[Array, "2 2"]:
    """The matrix A of a plane rotation for coordinates as rows: [[cos, sin], [-sin, cos]].

    Example:
        >>> import jax.numpy as jnp
        >>> bool(jnp.allclose(jnp.array([1.0, 0.0]) @ rotation(jnp.pi / 2), jnp.array([0.0, 1.0]), atol=1e-6))
        True
    """
    cos, sin = jnp.cos(radians), jnp.sin(radians)
    return jnp.array([[cos, sin], [-sin, cos]])


def rotate(key: Key, weights: Weights, *, symmetry: Symmetry, max_degrees: Scalar = 30.0) -> Weights:
    """Rotate a plane field about the coordinate origin by an angle uniform on [-max_degrees, max_degrees].

    f'(x) = f(x R), so W_0' = R W_0, with R = [[cos, sin], [-sin, cos]]. With (x, y) coordinates and y pointing down
    a positive angle turns the picture anticlockwise.

    **Transforms** the function exactly so.

    Args:
        key: a typed key.
        weights: one network.
        symmetry: its Symmetry, with two inputs.
        max_degrees: [] degrees; 0 is the identity.

    Raises:
        ValueError: a network whose input is not a plane.

    Source: arXiv 2402.04081, section 4; the same there.

    Example:
        >>> import jax
        >>> from wsjax import networks, symmetry
        >>> w = networks.siren_init(jax.random.key(0), (2, 4, 1))
        >>> turned = rotate(jax.random.key(1), w, symmetry=symmetry.siren((2, 4, 1)))
        >>> bool((turned[1].kernel == w[1].kernel).all())
        True
    """
    axis, size = _input_axis(symmetry)
    if size != 2:
        raise ValueError(
            f"rotate turns a plane, and this network's input axis {axis!r} has {size} coordinates; "
            f"use it on networks of 2 inputs, or augment.affine with a rotation matrix of your own"
        )
    angle = jax.random.uniform(key, minval=-1.0, maxval=1.0) * max_degrees * (jnp.pi / 180)
    return affine(weights, symmetry=symmetry, matrix=rotation(angle))


def translate(key: Key, weights: Weights, *, symmetry: Symmetry, max_shift: Scalar = 0.1) -> Weights:
    """Shift a field along every input axis by t uniform on [-max_shift, max_shift].

    f'(x) = f(x + t), so b_0' = b_0 + t W_0 and nothing else; the picture moves by -t.

    **Transforms** the function exactly so.

    Args:
        key: a typed key.
        weights: one network.
        symmetry: its Symmetry.
        max_shift: [] units of the coordinates; 0.25 on [-1, 1] is an eighth of the picture. 0 is the identity.

    Raises:
        ValueError: no input axis, or a first layer without a bias.

    Source: arXiv 2402.04081, section 4. Its code adds t W_0 ... W_{k-1} to b_{k-1} at a random depth k, a
    translation for k = 1 only.

    Example:
        >>> import jax
        >>> from wsjax import networks, symmetry
        >>> w = networks.siren_init(jax.random.key(0), (3, 4, 1))
        >>> moved = translate(jax.random.key(1), w, symmetry=symmetry.siren((3, 4, 1)))
        >>> bool((moved[0].kernel == w[0].kernel).all())
        True
    """
    _, size = _input_axis(symmetry)
    shift = jax.random.uniform(key, (size,), minval=-1.0, maxval=1.0) * max_shift
    return affine(weights, symmetry=symmetry, shift=shift)


def scale(key: Key, weights: Weights, *, symmetry: Symmetry, max_log: Scalar = 0.2) -> Weights:
    """Zoom a field about the coordinate origin, by the same factor along every input axis.

    f'(x) = f(s x), so W_0' = s W_0, with log s uniform on [-max_log, max_log]; s > 1 makes the picture smaller.

    **Transforms** the function exactly so.

    Args:
        key: a typed key.
        weights: one network.
        symmetry: its Symmetry.
        max_log: [] natural logarithm of the largest factor; 0.2 allows 0.82 to 1.22. 0 is the identity.

    Raises:
        ValueError: no input axis.

    Source: arXiv 2402.04081, section 4, where s is uniform on [0.8, 1.2]; a uniform logarithm makes zooming in and
    out equally likely.

    Example:
        >>> import jax
        >>> from wsjax import networks, symmetry
        >>> w = networks.siren_init(jax.random.key(0), (2, 4, 1))
        >>> zoomed = scale(jax.random.key(1), w, symmetry=symmetry.siren((2, 4, 1)))
        >>> bool((zoomed[0].bias == w[0].bias).all())
        True
    """
    _, size = _input_axis(symmetry)
    check_number("max_log", max_log, low=0)
    factor = jnp.exp(jax.random.uniform(key, minval=-1.0, maxval=1.0) * max_log)
    return affine(weights, symmetry=symmetry, matrix=factor * jnp.eye(size))
