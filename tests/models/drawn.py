"""Modules with parameters drawn by NumPy: as good as trained, and without compiling the draws of an initialization."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun
from jax.interpreters import partial_eval


def drawn(make: Callable[[jax.Array], Any], seed: int = 0) -> Any:
    """The module that `make(key)` builds; what no optimizer touches has the values that it builds.

    Entries are normal, of variance one over an array's longest axis: biases, gains and gates too.
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
