"""Readers with parameters drawn by NumPy, metadata by hand, and what is asked of every reader and every refusal."""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np
import pytest
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun
from jax.interpreters import partial_eval

from wsjax.models import Normalizer
from wsjax.models.testing import check_gradients, check_invariant, check_parts, check_sensitive
from wsjax.networks import Network
from wsjax.symmetry import Symmetry
from wsjax.symmetry.group import Action


def drawn(make: Callable[[jax.Array], Any], seed: int = 0) -> Any:
    """The module that `make(key)` builds, with drawn parameters: as good as trained, and no draw of JAX's to compile.

    Entries are normal, of variance one over an array's longest axis: biases, gains and gates too. What no optimizer
    touches has the values that it builds.
    """
    built, key = [], jax.random.key(0)

    def fixed(key):
        built.append(make(key))
        return jax.tree.leaves(eqx.filter(eqx.filter(built[0], eqx.is_inexact_array, inverse=True), eqx.is_array))

    traced = jax.make_jaxpr(fixed)(key)
    needed, _ = partial_eval.dce_jaxpr(traced.jaxpr, [True] * len(traced.out_avals), instantiate=True)
    kept = map(jax.device_put, map(np.asarray, jaxpr_as_fun(ClosedJaxpr(needed, traced.consts))(key)))
    rng = np.random.default_rng(seed)
    normal = lambda x: jax.device_put((rng.normal(size=x.shape) * max((1, *x.shape)) ** -0.5).astype(x.dtype))
    fill = lambda x: (normal(x) if eqx.is_inexact_array(x) else next(kept)) if eqx.is_array(x) else x
    return jax.tree.map(fill, built[0])


def plain(symmetry: Symmetry, scale: float = 1.0, shift: float = 0.0) -> Normalizer:
    """The same for each array."""
    return Normalizer([shift] * len(symmetry.axes), [scale] * len(symmetry.axes))


def toy(
    kind: Callable[..., Any], *, scale: float = 1.0, shift: float = 0.0, seed: int = 0, **defaults: Any
) -> Callable[..., Any]:
    """`make(symmetry, **settings)`: a drawn reader of three outputs, or an editor; other settings are the defaults."""

    def make(symmetry: Any, **settings: Any) -> Any:
        own = plain(symmetry, scale, shift) if isinstance(symmetry, Symmetry) else None
        outputs = {"out_size": 3} if "out_size" in inspect.signature(kind).parameters else {}
        return drawn(lambda key: kind(symmetry, **{**outputs, **defaults, **settings}, normalizer=own, key=key), seed)

    return make


def check_laws(
    reader: Any,
    symmetry: Symmetry,
    actions: tuple[Action, ...] = ("permute",),
    *,
    key: jax.Array,
    sensitive: bool = True,
    parts: bool = False,
    fraction: float | None = None,
) -> None:
    """Invariant to the actions; where asked, to nothing else, the head on the features, and parameters that learn."""
    assert check_invariant(reader, symmetry, actions=actions, key=key) < 1e-10
    assert not sensitive or check_sensitive(reader, symmetry, key=key) > 1e-8
    assert not parts or check_parts(reader, symmetry, key=key) == 0
    if fraction is not None:
        assert check_gradients(reader, symmetry, fraction=fraction, key=key) >= max(fraction, 1e-12)


class StubMetadata(NamedTuple):
    """What `models.make` needs, without a data set."""

    symmetry: Symmetry
    network: Network | None
    classes: tuple[str, ...]
    statistics: dict[str, dict[str, float]]
    coordinate_range: tuple[float, float] = (-1.0, 1.0)
    value_range: tuple[float, float] = (0.0, 1.0)


def metadata(
    widths: tuple[int, ...] = (2, 5, 4, 3), w0: float = 5.0, classes: int = 4, network: Network | None = None
) -> StubMetadata:
    """Of a SIREN of these widths, or of another network."""
    network = network or Network("siren", widths, w0=(w0,))
    statistics = {name: {"mean": 0.1, "std": 0.5, "rms": 0.6} for name in network.symmetry.names}
    return StubMetadata(network.symmetry, network, tuple(map(str, range(classes))), statistics)


def check_refusals(*cases: tuple[Callable[..., Any], dict[str, Any], str]) -> None:
    """Each call with its settings raises a ValueError of the message; the one that does not is named."""

    def call(make: Callable[..., Any], settings: dict[str, Any]) -> None:
        make(**settings)
        pytest.fail(f"{make} takes {settings}")

    for make, settings, message in cases:
        with pytest.raises(ValueError, match=message):
            call(make, settings)
