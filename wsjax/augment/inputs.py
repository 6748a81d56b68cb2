"""Transformations of the input, of place, size and direction: exact for every network with a linear first layer.

They refuse networks without an input axis, and those that `affine` refuses.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from wsjax.augment.io_axes import along, check_size, io_axis, io_size, numbers_along, place_of
from wsjax.augment.register import FRACTION, MAGNITUDE, register
from wsjax.errors import as_integer, check_number, listing
from wsjax.floats import wide
from wsjax.symmetry import Axes, Symmetry
from wsjax.symmetry.axes import atoms, base, consumes
from wsjax.typing import Key, Scalar, Weights


def affine(
    weights: Weights,
    *,
    symmetry: Symmetry,
    matrix: Float[ArrayLike, "inputs inputs"] | None = None,
    shift: Float[ArrayLike, " inputs"] | None = None,
    center: Float[ArrayLike, " inputs"] | None = None,
) -> Weights:
    """Move the coordinates by an affine map: f'(x) = f((x - c) A + c + t).

    **Transforms** the function exactly: K' = A K and b' = b + (c - c A + t) K for every kernel K that reads the input
    and the bias beside it.

    Args:
        weights: one network.
        symmetry: its Symmetry, with a fixed axis of role "input".
        matrix: A, (inputs, inputs), acting on coordinates as rows; None is the identity.
        shift: t, (inputs,), in units of the coordinates; None is 0.
        center: c, (inputs,), the point that A leaves in place; None is the origin, the center of an image here.

    Raises: ValueError: no input axis, one inside a product or a sum, or along another array than a kernel that reads it
    (a normalizer, a decoder's kernel); no bias for a shift or center beside such a kernel; sizes that do not fit.

    Source: the definitions behind arXiv 2402.04081, section 4. Its code adds the shift at a random depth, which is
    no translation for depths beyond the first.

    Example:
        >>> from wsjax import networks, symmetry
        >>> w = networks.siren_init(jax.random.key(0), (2, 4, 1))
        >>> x, t = jnp.ones((1, 2)), jnp.array([0.5, 0.0])
        >>> moved = affine(w, symmetry=symmetry.siren((2, 4, 1)), shift=t)
        >>> bool(jnp.allclose(networks.siren_apply(moved, x), networks.siren_apply(w, x + t[None, :]), atol=1e-6))
        True
    """
    leaves = symmetry.leaves(weights)
    axis_name, size = io_axis(symmetry, "input")
    check_size("matrix", matrix, ((size, size),), axis_name)
    check_size("shift", shift, ((size,),), axis_name)
    check_size("center", center, ((size,),), axis_name)
    moved = list(leaves)
    for i, axis in numbers_along(symmetry, leaves, _readers(symmetry, axis_name), "input").items():
        kernel = leaves[i]
        offset = _offset(matrix, shift, center, wide(kernel))
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
                f"{leaf} lies along the input axis {name!r} and is no kernel that reads it, such as a normalizer of "
                f"the input; the first layer is then not linear in the coordinate: fold it into the first kernel"
            )
        if any(consumes(atom) for atom in rest):
            raise ValueError(
                f"{leaf} makes the axis {name!r} out of neurons, as a decoder does, and does not read it; give what a "
                f"network reads and what it makes two names, one with the role 'input' and one with 'output', and mark "
                f"keys of attention that read it without '*', in a group with actions=('permute', 'sign') at most"
            )
        found[i] = place
    return found


def _offset(
    matrix: ArrayLike | None, shift: ArrayLike | None, center: ArrayLike | None, dtype: np.dtype
) -> Float[Array, " inputs"] | None:
    """c - c A + t, or None where no bias need move."""
    t = None if shift is None else jnp.asarray(shift).astype(dtype)
    if matrix is None or center is None:
        return t
    c = jnp.asarray(center).astype(dtype)
    drift = c - jnp.matmul(c, jnp.asarray(matrix).astype(dtype), precision="highest")
    return drift if t is None else drift + t


def _bias_beside(symmetry: Symmetry, kernel: int, axis: int) -> tuple[int, float]:
    """The bias that adds to what this kernel makes, and w0 where the frequency multiplies the kernel alone.

    It stands in the kernel's own container, or is the only vector along what the kernel makes: the bias of a
    normalization adds later, behind its scale, and is not the one. Nor is that of another kernel which makes the same
    neurons out of others: on a residual stream it may add behind a layer that has read the stream.
    """
    made = tuple(e for a, e in enumerate(symmetry.axes[kernel].entries) if a != axis)
    containers = [path[:-1] for path, _ in jax.tree_util.tree_leaves_with_path(symmetry.unflatten(symmetry.axes))]
    vectors = [j for j, axes in enumerate(symmetry.axes) if axes.entries == made]
    biases = [j for j in vectors if symmetry.axes[j].bias]
    own = [j for j in biases if containers[j] == containers[kernel]]
    groups = {base(a): symmetry.groups[base(a)] for e in made for a in atoms(e) if base(a) in symmetry.groups}
    later = [j for j, axes in enumerate(symmetry.axes) if _makes_out_of_others(axes, set(groups))]
    if own:
        later = [j for j in later if containers[j] == containers[kernel]]
    if not later and (len(own) == 1 or (not own and len(vectors) == len(biases) == 1)):
        return (own or biases)[0], next((g.w0 for g in groups.values() if g.w0_convention == "kernel"), 1.0)
    name, found = symmetry.names[kernel], listing(symmetry.names[j] for j in vectors) or "none"
    if biases and later:
        raise ValueError(
            f"{name} needs one bias of its own to carry a shift or a center, and "
            f"{listing(symmetry.names[j] for j in later)} makes the same neurons out of others, as on a residual "
            f"stream: {found} may add to those. Keep each kernel and its bias in a container of their own, or use "
            f"neither of the two"
        )
    inside = [str(e) for e in made if e in symmetry.fixed and symmetry.fixed[str(e)].role == "internal"]
    if inside and not vectors:
        raise ValueError(
            f"{name} runs over {listing(inside)} too, as a convolution does: its input is a color, and a shift or a "
            f"center would have to reach into the padding; use a transformation with neither, such as a scale"
        )
    raise ValueError(
        f"{name} needs one bias of its own to carry a shift or a center; vectors along what it makes: {found}. "
        f"Mark its bias with Axes(..., bias=True) and keep it in the kernel's container, or use neither of the two"
    )


def _makes_out_of_others(axes: Axes, groups: set[str]) -> bool:
    """Whether an array consumes neurons and makes some of these groups."""
    names = [atom for entry in axes.entries for atom in atoms(entry)]
    return any(map(consumes, names)) and any(base(atom) in groups and not consumes(atom) for atom in names)


@register(effect="transforms", formula="f'(x) = f(x + t): b_0' = b_0 + t W_0", ranges={"max_shift": MAGNITUDE})
def translate(key: Key, weights: Weights, symmetry: Symmetry, *, max_shift: Scalar = 0.1) -> Weights:
    """Shift a field along every input axis by t uniform on [-max_shift, max_shift].

    **Transforms** the function exactly: f'(x) = f(x + t), b_0' = b_0 + t W_0 and no other; the image moves by -t.

    Args:
        symmetry: its Symmetry.
        max_shift: [] units of the coordinates; 0.25 on [-1, 1] is an eighth of the image. 0 is the identity.

    Raises: ValueError: a first layer without a bias, or a negative max_shift.

    Source: arXiv 2402.04081, section 4. Its code adds t W_0 ... W_{k-1} to b_{k-1} at a random depth k, a
    translation for k = 1 only.

    Example:
        >>> from wsjax import networks, symmetry
        >>> w = networks.siren_init(jax.random.key(0), (3, 4, 1))
        >>> moved = translate(symmetry.siren((3, 4, 1)))(jax.random.key(1), w)
        >>> bool((moved[0].kernel == w[0].kernel).all())
        True
    """
    size = io_size(symmetry, "input")
    shift = jax.random.uniform(key, (size,), minval=-1.0, maxval=1.0) * max_shift
    return affine(weights, symmetry=symmetry, shift=shift)


@register(effect="transforms", formula="f'(x) = f(s x): W_0' = s W_0", ranges={"max_log": MAGNITUDE})
def scale(key: Key, weights: Weights, symmetry: Symmetry, *, max_log: Scalar = 0.2) -> Weights:
    """Zoom a field about the coordinate origin, by the same factor along every input axis.

    **Transforms** the function exactly: f'(x) = f(s x), so W_0' = s W_0, with log s uniform on [-max_log, max_log]. An
    s above 1 makes the image smaller.

    Args:
        symmetry: its Symmetry.
        max_log: [] natural logarithm of the largest factor; 0.2 allows 0.82 to 1.22. 0 is the identity.

    Raises: ValueError: a negative max_log.

    Source: arXiv 2402.04081, section 4, where s is uniform on [0.8, 1.2]; a uniform logarithm makes zooming in and
    out equally likely.

    Example:
        >>> from wsjax import networks, symmetry
        >>> w = networks.siren_init(jax.random.key(0), (2, 4, 1))
        >>> zoomed = scale(symmetry.siren((2, 4, 1)))(jax.random.key(1), w)
        >>> bool((zoomed[0].bias == w[0].bias).all())
        True
    """
    size = io_size(symmetry, "input")
    factor = jnp.exp(jax.random.uniform(key, minval=-1.0, maxval=1.0) * max_log)
    return affine(weights, symmetry=symmetry, matrix=factor * jnp.eye(size))


@register(effect="transforms", formula="f'(x) = f(x S): W_0' = S W_0, S diagonal", ranges={"max_log": MAGNITUDE})
def scale_axes(key: Key, weights: Weights, symmetry: Symmetry, *, max_log: Scalar = 0.2) -> Weights:
    """Zoom a field about the coordinate origin, by a factor of its own along each input axis.

    **Transforms** the function exactly: f'(x) = f(x diag(s)), so row i of W_0 times s_i, with every log s_i uniform on
    [-max_log, max_log]; s_i > 1 makes the image narrower along axis i.

    Args:
        symmetry: its Symmetry.
        max_log: [] natural logarithm of the largest factor; 0.2 allows 0.82 to 1.22. 0 is the identity.

    Raises: ValueError: a negative max_log.

    Source: `scale` along each axis; not in arXiv 2402.04081, whose one factor serves all axes.

    Example:
        >>> from wsjax import networks, symmetry
        >>> w = networks.siren_init(jax.random.key(0), (2, 4, 1))
        >>> zoomed = scale_axes(symmetry.siren((2, 4, 1)))(jax.random.key(1), w)
        >>> factor = zoomed[0].kernel / w[0].kernel
        >>> bool((abs(factor[:, 0] - factor[:, 1]) < 1e-6).all()), bool(abs(factor[0, 0] - factor[1, 0]) < 1e-3)
        (True, False)
    """
    size = io_size(symmetry, "input")
    factors = jnp.exp(jax.random.uniform(key, (size,), minval=-1.0, maxval=1.0) * max_log)
    return affine(weights, symmetry=symmetry, matrix=jnp.diag(factors))


@register(
    effect="transforms",
    formula="f'(x) = f(x A): W_0' = A W_0, A with ones on its diagonal",
    ranges={"max_shear": MAGNITUDE},
)
def shear(key: Key, weights: Weights, symmetry: Symmetry, *, max_shear: Scalar = 0.2) -> Weights:
    """Slant a field: along each input axis, shift it in proportion to every other coordinate.

    **Transforms** the function exactly: f'(x) = f(x A), so W_0' = A W_0, with ones on the diagonal of A and every other
    entry uniform on [-max_shear, max_shear]. A_ij > 0 moves the image at x_i > 0 towards smaller x_j. Areas change by 1
    / det A.

    Args:
        symmetry: its Symmetry, with two inputs or more.
        max_shear: [] slope; 0.2 slants by up to 11 degrees. 0 is the identity; from 1 / (inputs - 1) on the image may
            collapse to a line.

    Raises: ValueError: a network of one input, or a negative max_shear.

    Source: the general W_0' = A W_0; not in arXiv 2402.04081.

    Example:
        >>> from wsjax import networks, symmetry
        >>> w = networks.siren_init(jax.random.key(0), (2, 4, 1))
        >>> slanted = shear(symmetry.siren((2, 4, 1)))(jax.random.key(1), w)
        >>> bool((slanted[0].bias == w[0].bias).all())
        True
    """
    size = io_size(symmetry, "input", "shear slants one coordinate by another", low=2)
    shears = jax.random.uniform(key, (size, size), minval=-1.0, maxval=1.0) * max_shear
    one = jnp.eye(size, dtype=shears.dtype)
    return affine(weights, symmetry=symmetry, matrix=jnp.where(one > 0, one, shears))


@register(
    effect="transforms",
    formula="f'(x) = f(x D): W_0' = D W_0, D diagonal of -1 and 1",
    ranges={"probability": FRACTION},
)
def flip(
    key: Key, weights: Weights, symmetry: Symmetry, *, probability: Scalar = 0.5, axis: Scalar | None = None
) -> Weights:
    """Mirror a field at the coordinate origin, along each input axis, or one, with a given chance.

    **Transforms** the function exactly: f'(x) = f(x diag(s)), so row i of W_0 times s_i, with s_i = -1 with that chance
    and 1 otherwise. The image is mirrored along axis i: left and right change places, or top and bottom.

    Args:
        symmetry: its Symmetry.
        probability: [] chance for each axis, in [0, 1]; 0 is the identity.
        axis: [] the only one that is mirrored, from 0; None for all. Of images fitted here 0 is x.

    Raises: ValueError: no such axis, or a probability outside [0, 1].

    Source: the general W_0' = A W_0; not in arXiv 2402.04081.

    Example:
        >>> from wsjax import networks, symmetry
        >>> w = networks.siren_init(jax.random.key(0), (2, 4, 1))
        >>> mirrored = flip(symmetry.siren((2, 4, 1)), probability=1.0)(jax.random.key(1), w)
        >>> bool((mirrored[0].kernel == -w[0].kernel).all())
        True
    """
    size = io_size(symmetry, "input")
    chosen = jax.random.bernoulli(key, probability, (size,))
    if axis is not None:
        check_number("axis", as_integer(axis), low=0, high=size - 1, integer=True)
        chosen = chosen & (jnp.arange(size, dtype=jnp.float32) == jnp.asarray(axis, jnp.float32))
    signs = jnp.where(chosen, -1.0, 1.0)
    return affine(weights, symmetry=symmetry, matrix=jnp.diag(signs))


def rotation(radians: Scalar) -> Float[Array, "2 2"]:
    """The matrix A of a plane rotation for points as rows: a positive angle turns the x axis towards the y axis."""
    cos, sin = jnp.cos(radians), jnp.sin(radians)
    return jnp.array([[cos, sin], [-sin, cos]])


def rotation_about(axis: Float[ArrayLike, "3"], radians: Scalar) -> Float[Array, "3 3"]:
    """The matrix A of a right-handed rotation of space about an axis of any length but 0, for coordinates as rows.

    A = I + sin(a) S + (1 - cos(a)) S^2, with p S = n x p for the unit axis n.
    """
    direction = jnp.asarray(axis)
    length = jnp.linalg.norm(direction)
    check_number("length of the axis", length, low=0, open_low=True)
    x, y, z = direction / length
    zero = jnp.zeros_like(x)
    s = jnp.array([[zero, z, -y], [-z, zero, x], [y, -x, zero]])
    square = jnp.matmul(s, s, precision="highest")
    return jnp.eye(3, dtype=s.dtype) + jnp.sin(radians) * s + (1 - jnp.cos(radians)) * square


@register(
    effect="transforms",
    formula="f'(x) = f(x R): W_0' = R W_0, R by an angle up to max_degrees",
    ranges={"max_degrees": MAGNITUDE},
)
def rotate(key: Key, weights: Weights, symmetry: Symmetry, *, max_degrees: Scalar = 30.0) -> Weights:
    """Rotate a field about the coordinate origin by an angle uniform on [-max_degrees, max_degrees].

    **Transforms** the function exactly: f'(x) = f(x R), so W_0' = R W_0. In the plane R = [[cos, sin], [-sin, cos]]; in
    space R turns about an axis uniform on the sphere. The image turns by the opposite angle: anticlockwise for a
    positive one, where y points down.

    Args:
        symmetry: its Symmetry, with two or three inputs.
        max_degrees: [] degrees; 0 is the identity.

    Raises: ValueError: a network whose input is neither a plane nor a space, or a negative max_degrees.

    Source: arXiv 2402.04081, section 4; the same there for the plane, which is all it has.

    Example:
        >>> from wsjax import networks, symmetry
        >>> w = networks.siren_init(jax.random.key(0), (2, 4, 1))
        >>> turned = rotate(symmetry.siren((2, 4, 1)))(jax.random.key(1), w)
        >>> bool((turned[1].kernel == w[1].kernel).all())
        True
    """
    inputs = _plane_or_space(symmetry, "rotate")
    angle = lambda key: jax.random.uniform(key, minval=-1.0, maxval=1.0) * max_degrees * (jnp.pi / 180)
    if inputs == 2:
        turn = rotation(angle(key))
    else:
        axis = jax.random.normal(jax.random.fold_in(key, 0), (3,))
        turn = rotation_about(axis, angle(jax.random.fold_in(key, 1)))
    return affine(weights, symmetry=symmetry, matrix=turn)


@register(effect="transforms", formula="f'(x) = f(x R): W_0' = R W_0, R any rotation alike")
def rotate_uniform(key: Key, weights: Weights, symmetry: Symmetry) -> Weights:
    """Rotate a field about the coordinate origin, every rotation of the plane or of space equally likely.

    **Transforms** the function exactly: f'(x) = f(x R), so W_0' = R W_0, with R uniform (Haar) on SO(2) or SO(3): in
    the plane the angle is uniform; in space the quaternion is uniform on its sphere, which makes large angles the
    likelier ones. The image turns by the inverse.

    Args:
        symmetry: its Symmetry, with two or three inputs.

    Raises: ValueError: a network whose input is neither a plane nor a space.

    Source: "A subgroup algorithm", Shoemake 1992 (Graphics Gems III), for the quaternion; augmentation of shapes
    whose pose means nothing. Not in arXiv 2402.04081.

    Example:
        >>> from wsjax import networks, symmetry
        >>> w = networks.siren_init(jax.random.key(0), (3, 4, 1))
        >>> turned = rotate_uniform(symmetry.siren((3, 4, 1)))(jax.random.key(1), w)
        >>> before, after = ((layer.kernel**2).sum() for layer in (w[0], turned[0]))
        >>> bool(abs(after - before) < 1e-5)
        True
    """
    inputs = _plane_or_space(symmetry, "rotate_uniform")
    if inputs == 2:
        turn = rotation(jax.random.uniform(key, minval=-jnp.pi, maxval=jnp.pi))
    else:
        # a quaternion (cos(a / 2), sin(a / 2) n), but for its length
        real, *imaginary = jax.random.normal(key, (4,))
        n = jnp.stack(imaginary)
        turn = rotation_about(n, 2 * jnp.arctan2(jnp.linalg.norm(n), real))
    return affine(weights, symmetry=symmetry, matrix=turn)


def _plane_or_space(symmetry: Symmetry, name: str) -> int:
    way_out = "augment.inputs.affine with a rotation matrix of your own"
    return io_size(symmetry, "input", f"{name} turns a plane or a space", 2, 3, way_out)
