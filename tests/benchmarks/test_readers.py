"""The suite `readers` at a toy size: both sides do the same work. Nothing here asserts a time."""

import functools
import math

import equinox as eqx
import jax
import numpy as np
import pytest
import torch

from benchmarks.speed import harness, readers, readers_products, readers_versus
from benchmarks.speed.readers import Growth
from benchmarks.speed.readers_step import Steps, Subject
from benchmarks.torch import dws as torch_readers_dws
from benchmarks.torch import loop as torch_loop
from benchmarks.torch import readers as torch_readers
from benchmarks.torch.relational import RelationalTransformer, Widths
from tests.benchmarks.reports import checked_report
from wsjax import symmetry

WIDTHS = (2, 5, 4, 3)
SMALL = Widths(8, 6, 8, 8, 6, 8, layers=2, heads=2, fourier=4)
LINEAR = {"channels": 8, "layers": 2, "activation": "relu", "head": 8}
TOY = readers.Size(
    channels=4,
    hidden=1,
    widths=(2, 4, 3, 1),
    batch=4,
    microbatches=2,
    names=("dws", "mlp"),
    rounded=("mlp",),
    rounds=2,
    product=64,
    growth=Growth(widths=((3, 4), (4, 2)), depths=(), batches=(2, 3), wide=(4, 2), rounds=2),
)


def subject(**settings):
    return Subject("dws", LINEAR | settings, WIDTHS, 6)


@functools.cache
def module(kind):
    if kind == "relational":
        return torch_readers.dense(subject(), SMALL)
    return torch_readers.dws(
        subject(**{"attention": {"maps": "attention"}, "gated": {"activation": "gated"}}.get(kind, {}))
    )


def output(made, weights):
    leaves = [torch.from_numpy(np.array(leaf, np.float64)) for leaf in jax.tree.leaves(weights)]
    with torch.no_grad():
        return made.double()(leaves).numpy()


@functools.partial(jax.jit, static_argnums=0)
def permuted(spec, key, weights):
    return symmetry.act(symmetry.sample(key, spec, actions=("permute",)), weights)


@pytest.mark.parametrize("kind", ["linear", "gated", "attention", "relational"])
def test_pytorch_readers_are_invariant_to_permutations_of_neurons_and_to_no_other(kind):
    made, spec, weights = module(kind), subject().network.symmetry, subject().networks()
    before = output(made, weights)
    assert before.std(0).min() > 1e-6
    first = jax.tree.map(lambda x: np.asarray(x)[0], weights)
    one = jax.tree.map(lambda x: np.asarray(x)[None], permuted(spec, jax.random.key(1), first))
    np.testing.assert_allclose(output(made, one)[0], before[0], rtol=0, atol=1e-10)
    places = (0, 2), (0, 1), (1, 1), (2, 1), (2, 2), (3, 1), (4, 1), (4, 2), (5, 1)
    for leaf, axis in places:  # one array's axis alone
        leaves = [np.asarray(x) for x in jax.tree.leaves(weights)]
        leaves[leaf] = np.roll(leaves[leaf], 1, axis)
        assert np.abs(output(made, leaves) - before).max() > 1e-8, (leaf, axis)


@pytest.mark.parametrize("kind", ["linear", "gated"])
def test_with_our_parameters_pytorch_gives_what_ours_gives(kind):
    asked = subject(**({"activation": "gated"} if kind == "gated" else {}))
    ours = jax.jit(jax.vmap(asked.reader()))(asked.networks())
    np.testing.assert_allclose(output(torch_readers.dws(asked), asked.networks()), ours, atol=2e-5)


@pytest.mark.parametrize("kind", ["linear", "gated", "attention", "relational"])
def test_every_parameter_of_pytorch_learns(kind):
    made = module(kind).float()
    leaves = torch_loop.tensors(jax.tree.leaves(subject().networks()))
    torch.nn.functional.cross_entropy(made(leaves), torch.arange(6)).backward()
    flat = [name for name, p in made.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert not flat


def test_parameters_are_as_many_as_claimed():
    linear = Subject("dws", {"channels": 32, "layers": 5, "activation": "relu"})
    settings = {"channels": 32, "layers": 5, "head": 64, "activation": "relu", "layer": torch_readers_dws.Blocks}
    theirs = torch_readers_dws.DWS(linear.widths, 10, **settings, shift=[0.0] * 6, scale=[1.0] * 6)
    ours = eqx.filter(eqx.filter_eval_shape(linear.reader), lambda x: isinstance(x, jax.ShapeDtypeStruct))
    fixed = 2 * len(linear.network.symmetry.shapes)  # the normalizer's
    assert sum(leaf.size for leaf in jax.tree.leaves(ours)) - fixed == 325_770
    assert torch_readers.count_parameters(theirs) == 325_770
    dense = RelationalTransformer((2, 32, 32, 1), 10, Widths(), shift=[0.0] * 6, scale=[1.0] * 6)
    assert torch_readers.count_parameters(dense) == 376_586


def test_a_layer_of_blocks_has_every_basis_map():
    """75, 163 and 117 for each pair of channels: the literals of the equivariant layer's own tests."""
    for widths, count in {(2, 4, 4, 1): 75, (2, 4, 4, 3): 163, (2, 4, 3): 117}.items():
        layer = torch_readers_dws.Blocks(torch_readers_dws.features_of(widths), 1, 1)
        assert sum(each.weight.numel() for each in layer.maps) == count


def test_products_are_those_of_a_step_counted_by_hand():
    """An MLP of one hidden layer: two products forward, two for its kernels, one for what is between them."""

    def operations(product: readers_products.Product) -> int:
        """Multiplications and additions."""
        (_, contracted), (_, batched) = product.axes
        free = [n for axis, n in enumerate(product.right) if axis not in contracted + batched]
        return 2 * math.prod((*product.left, *free))

    steps = Steps(Subject("mlp", {"width": 8, "depth": 1}, (2, 3, 1), 4))
    weights = 2 * 3 + 3 + 3 + 1
    found = readers_products.products(steps.traced().jaxpr)
    assert steps.parameters == weights * 8 + 8 + 8 * 10 + 10
    assert sum(count * operations(product) for product, count in found.items()) == 2 * 4 * (
        2 * weights * 8 + 3 * 8 * 10
    )


def test_products_in_a_loop_of_unknown_length_are_refused():
    traced = jax.make_jaxpr(lambda x: jax.lax.while_loop(lambda y: y[0, 0] < 9, lambda y: y @ y, x))(
        jax.numpy.ones((2, 2))
    )
    with pytest.raises(ValueError, match="a loop of unknown length"):
        readers_products.products(traced.jaxpr)


def test_losses_that_differ_void_the_comparison():
    assert "apart" in readers_versus.check_losses({"ours": [[1.0, 0.5]], "torch": [[1.0, 0.5]]}, "ours")
    with pytest.raises(ValueError, match="the comparison is void"):
        readers_versus.check_losses({"ours": [[1.0, 0.5]], "torch": [[1.0, 0.6]]}, "ours")


def test_only_a_time_far_above_its_mark_is_explained():
    near, far = (
        harness.compare("readers/a/torch_dense_vs_mark", np.full(2, t), "mark", 100.0, "ms") for t in (140, 160)
    )
    assert readers_versus.explanations([near], 300.0, 0.1) == []
    assert "1.60 times the mark" in readers_versus.explanations([far], 300.0, 0.1)[0]


@pytest.mark.slow
def test_a_toy_run_gives_the_promised_rows_in_a_valid_report():
    rows, timings, notes = readers.contest(TOY, load=0.0)
    checked_report("readers", rows, timings, notes)
    assert [row.name.removeprefix("readers/") for row in rows] == [
        *("dws_c4_n1_b4/vs_torch_set_attention", "dws_c4_n1_b4/vs_torch_deepsets"),
        "dws_c4_n1_b4_gated/vs_torch_deepsets",
        *("dws_c4_n1_b4_microbatches/vs_torch_set_attention", "dws_c4_n1_b4_microbatches/vs_torch_deepsets"),
        "dws_c4_n1_b4_gated_microbatches/vs_torch_deepsets",
        *("dws_c4_n1_b4/vs_torch_set_attention_products", "dws_c4_n1_b4/vs_torch_deepsets_products"),
        *("dws_c4_n1_b4_gated/vs_torch_deepsets_products", "dws_c4_n1_b4/torch_set_attention_vs_mark"),
        *("dws_c4_n1_b4/torch_deepsets_vs_mark", "mlp_b4/bfloat16", "dws_b4/compile"),
        *("mlp_b4/vs_dws", "mlp_b4/memory", "mlp_b4/compile"),
        *("dws_width_4/time", "dws_width_4/memory", "dws_batch_3/time", "dws_batch_3/memory"),
        *("dws_attention_width_4/time", "dws_attention_width_4/memory"),
        *("mlp_width_4/time", "mlp_width_4/memory"),
    ]
    assert any("on both sides" in note for note in notes)


def test_steps_in_bfloat16_are_rounded_and_learn_as_well():
    exact, rounded = (
        Steps(Subject("mlp", {"width": 8, "depth": 1}, WIDTHS, 6, dtype), 3)(0) for dtype in ("float32", "bfloat16")
    )
    assert rounded != exact
    np.testing.assert_allclose(rounded, exact, rtol=0.02)
    assert rounded[-1] < rounded[0]
