"""Known transformations of the input: rotations of a plane or a space, by `affine`."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from wsjax.augment.affine import affine
from wsjax.augment.ends import end_axis
from wsjax.errors import check_number
from wsjax.symmetry import Symmetry
from wsjax.typing import Key, Scalar, Weights


def rotation(radians: Scalar) -> Float[Array, "2 2"]:
    """The matrix A of a plane rotation for coordinates as rows: [[cos, sin], [-sin, cos]].

    Args:
        radians: [] the angle; a positive one turns the x axis towards the y axis.

    Example:
        >>> import jax.numpy as jnp
        >>> bool(jnp.allclose(jnp.array([1.0, 0.0]) @ rotation(jnp.pi / 2), jnp.array([0.0, 1.0]), atol=1e-6))
        True
    """
    cos, sin = jnp.cos(radians), jnp.sin(radians)
    return jnp.array([[cos, sin], [-sin, cos]])


def rotation_about(axis: Float[ArrayLike, "3"], radians: Scalar) -> Float[Array, "3 3"]:
    """The matrix A of a rotation of space for coordinates as rows: the point p goes to p A.

    Right-handed: with the thumb along the axis the fingers curl the way p goes. About (0, 0, 1) it is `rotation` of
    the first two coordinates. A = I + sin(a) S + (1 - cos(a)) S^2, with p S = n x p for the unit axis n.

    Args:
        axis: (3,), of any length but 0.
        radians: [] the angle.

    Raises:
        ValueError: an axis of length 0.

    Example:
        >>> import jax.numpy as jnp
        >>> x, y, z = jnp.eye(3)
        >>> bool(jnp.allclose(x @ rotation_about(2 * z, jnp.pi / 2), y, atol=1e-6))
        True
    """
    direction = jnp.asarray(axis)
    length = jnp.linalg.norm(direction)
    check_number("length of the axis", length, low=0, open_low=True)
    x, y, z = direction / length
    zero = jnp.zeros_like(x)
    s = jnp.array([[zero, z, -y], [-z, zero, x], [y, -x, zero]])
    square = jnp.matmul(s, s, precision="highest")
    return jnp.eye(3, dtype=s.dtype) + jnp.sin(radians) * s + (1 - jnp.cos(radians)) * square


def rotate(key: Key, weights: Weights, *, symmetry: Symmetry, max_degrees: Scalar = 30.0) -> Weights:
    """Rotate a field about the coordinate origin by an angle uniform on [-max_degrees, max_degrees].

    f'(x) = f(x R), so W_0' = R W_0. In the plane R = [[cos, sin], [-sin, cos]]; in space R turns about an axis
    uniform on the sphere. The picture turns by the opposite angle: with (x, y) coordinates and y pointing down a
    positive angle turns it anticlockwise.

    **Transforms** the function exactly so.

    Args:
        key: a typed key.
        weights: one network.
        symmetry: its Symmetry, with two or three inputs.
        max_degrees: [] degrees, 0 or more; 0 is the identity.

    Raises:
        ValueError: a network whose input is neither a plane nor a space, or a negative max_degrees.

    Source: arXiv 2402.04081, section 4; the same there for the plane, which is all it has.

    Example:
        >>> import jax
        >>> from wsjax import networks, symmetry
        >>> w = networks.siren_init(jax.random.key(0), (2, 4, 1))
        >>> turned = rotate(jax.random.key(1), w, symmetry=symmetry.siren((2, 4, 1)))
        >>> bool((turned[1].kernel == w[1].kernel).all())
        True
    """
    inputs = _plane_or_space(symmetry, "rotate")
    check_number("max_degrees", max_degrees, low=0)
    angle = lambda key: jax.random.uniform(key, minval=-1.0, maxval=1.0) * max_degrees * (jnp.pi / 180)
    if inputs == 2:
        turn = rotation(angle(key))
    else:
        axis = jax.random.normal(jax.random.fold_in(key, 0), (3,))
        turn = rotation_about(axis, angle(jax.random.fold_in(key, 1)))
    return affine(weights, symmetry=symmetry, matrix=turn)


def rotate_uniform(key: Key, weights: Weights, *, symmetry: Symmetry) -> Weights:
    """Rotate a field about the coordinate origin, every rotation of the plane or of space equally likely.

    f'(x) = f(x R), so W_0' = R W_0, with R uniform (Haar) on SO(2) or SO(3): in the plane the angle is uniform; in
    space the quaternion is uniform on its sphere, which makes large angles the likelier ones. The picture turns by
    the inverse.

    **Transforms** the function exactly so.

    Args:
        key: a typed key.
        weights: one network.
        symmetry: its Symmetry, with two or three inputs.

    Raises:
        ValueError: a network whose input is neither a plane nor a space.

    Source: "A subgroup algorithm", Shoemake 1992 (Graphics Gems III), for the quaternion; augmentation of shapes
    whose pose means nothing. Not in arXiv 2402.04081.

    Example:
        >>> import jax
        >>> from wsjax import networks, symmetry
        >>> w = networks.siren_init(jax.random.key(0), (3, 4, 1))
        >>> turned = rotate_uniform(jax.random.key(1), w, symmetry=symmetry.siren((3, 4, 1)))
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
    axis, size = end_axis(symmetry, "input")
    if size in (2, 3):
        return size
    raise ValueError(
        f"{name} turns a plane or a space, and this network's input axis {axis!r} has size {size}; "
        f"use it on networks of 2 or 3 inputs, or augment.affine with a rotation matrix of your own"
    )
