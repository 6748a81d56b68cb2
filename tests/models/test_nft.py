"""NFT: its attention is the published one for chains, and its readers are invariant to what they claim and no more."""

import equinox as eqx
import jax
import numpy as np
import pytest

from tests.models.helpers import check_laws, drawn, toy
from tests.models.specs import CONVOLUTION, JOINED_RECURRENT, RECURRENT, random_weights
from wsjax.models.layers.feature_layout import features, lift, unlift
from wsjax.models.layers.io_encoding import permutable_io
from wsjax.models.layers.weight_attention import Tokens, attend, averages_attend, slices_attend
from wsjax.models.readers.array_encoder import ArrayEncoder
from wsjax.models.readers.nft import NFT, NFTBlock
from wsjax.models.testing import check_equivariant, check_invariant
from wsjax.models.testing.precise import in_float64, read, to_float64
from wsjax.symmetry import Symmetry, mlp, siren

pytestmark = pytest.mark.usefixtures("untyped")

CHAIN = siren((2, 4, 4, 3))
KEY = jax.random.key(3)
SMALL = {"width": 4, "layers": 1, "heads": 2, "head": 4, "frequencies": 2}
nft, encoder = toy(NFT, **SMALL), toy(ArrayEncoder, **SMALL, latents=3, mixing=1)


def draw(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def softmax(scores: np.ndarray) -> np.ndarray:
    raised = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return raised / raised.sum(axis=-1, keepdims=True)


def by_hand(tokens: list[np.ndarray], heads: int) -> np.ndarray:
    """Attention of flat tokens, head after head; each token (entries, queries and keys and values)."""
    stacked = np.stack(tokens)
    query, key, value = np.split(stacked, 3, axis=-1)
    width = query.shape[-1] // heads
    parts = []
    for h in range(heads):
        mine = slice(h * width, (h + 1) * width)
        flat = [x[..., mine].reshape(len(tokens), -1) for x in (query, key, value)]
        mixed = softmax(flat[0] @ flat[1].T / np.sqrt(flat[0].shape[1])) @ flat[2]
        parts.append(mixed.reshape(*stacked.shape[:2], width))
    return np.concatenate(parts, axis=-1)


def test_attention_is_its_formula():
    qkv = draw(5, 3, 12)
    np.testing.assert_allclose(jax.jit(attend, static_argnums=1)(qkv, 2), by_hand(list(qkv), 2), rtol=1e-4, atol=1e-5)


def test_for_a_chain_the_tokens_are_incoming_slices_the_bias_and_outgoing_slices():
    """The published rule, layer by layer, inputs and outputs too."""
    widths, spec = (2, 3, 4, 2), features(permutable_io(mlp((2, 3, 4, 2))))
    qkv = [draw(*f.sizes, 12) for f in spec]
    kernels, biases = qkv[::2], qkv[1::2]
    expected = [np.zeros((*x.shape[:-1], 4)) for x in qkv]
    for layer in range(-1, 3):
        tokens, places = [], []
        if layer >= 0:
            tokens += [kernels[layer][row] for row in range(widths[layer])] + [biases[layer]]
            places += [(2 * layer, (row,)) for row in range(widths[layer])] + [(2 * layer + 1, ())]
        if layer < 2:
            tokens += [kernels[layer + 1][:, column] for column in range(widths[layer + 2])]
            places += [(2 * layer + 2, (slice(None), column)) for column in range(widths[layer + 2])]
        for (array, place), mixed in zip(places, by_hand(tokens, 2), strict=True):
            expected[array][place] += mixed
    found = jax.jit(lambda qkv: slices_attend(qkv, Tokens(spec), 2))(qkv)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_averages_attend_and_are_repeated():
    qkv = [draw(*f.sizes, 12) for f in features(permutable_io(mlp((2, 3, 1))))]
    means = [x.reshape(-1, 12).mean(axis=0)[None] for x in qkv]
    found = jax.jit(lambda qkv: averages_attend(qkv, 2))(qkv)
    for a, x, mean in zip(found, qkv, by_hand(means, 2), strict=True):
        np.testing.assert_allclose(a, np.broadcast_to(mean[0], (*x.shape[:-1], 4)), rtol=1e-4, atol=1e-5)


def test_all_positions_stand_in_one_array_and_come_back():
    tokens = Tokens(features(permutable_io(CONVOLUTION)))
    xs = [draw(*f.sizes, 3) for f in features(permutable_io(CONVOLUTION))]
    joined, back = jax.jit(lambda xs: (tokens.join(xs), tokens.part(tokens.join(xs))))(xs)
    assert joined.shape == (sum(x.size for x in xs) // 3, 3)
    for a, b in zip(back, xs, strict=True):
        np.testing.assert_array_equal(a, b)


class OnWeights(eqx.Module):
    """A block as a map from weights to weights, so that the group acts on what comes out."""

    initial: jax.Array
    block: NFTBlock
    end: jax.Array
    symmetry: Symmetry = eqx.field(static=True)

    def __call__(self, weights):
        spec = features(self.symmetry)
        tokens = Tokens(spec)
        x = tokens.join(lift(self.symmetry.leaves(weights), spec)) @ self.initial
        ys = tokens.part(self.block(x, tokens, None, 0.0, 0) @ self.end)
        return self.symmetry.unflatten(unlift(ys, spec, self.symmetry))


@pytest.mark.parametrize("symmetry", [mlp((2, 4, 3)), RECURRENT], ids=["chain", "recurrence"])
def test_a_block_is_equivariant_and_mixes_what_stands_far_apart(symmetry):
    symmetry = permutable_io(symmetry)
    block = drawn(lambda key: NFTBlock(4, 2, key=key))
    module = OnWeights(jax.device_put(draw(1, 4)), block, jax.device_put(draw(4, 1)), symmetry)
    assert check_equivariant(module, symmetry, key=KEY) < 1e-10
    with in_float64():
        wide, weights = to_float64(module), to_float64(random_weights(KEY, symmetry))
        leaves, tree = jax.tree.flatten(weights)
        last = lambda leaves: np.asarray(jax.tree.leaves(read(wide, jax.tree.unflatten(tree, leaves)))[-1])
        for i, leaf in enumerate(leaves):
            assert (
                np.abs(last([*leaves[:i], 1.5 * leaf + 0.1, *leaves[i + 1 :]]) - last(leaves)).max() > 1e-11
            )  # rounding is 1e-15


@pytest.mark.parametrize(
    ("make", "symmetry", "settings"),
    [
        (nft, siren((2, 4, 4, 1)), {"frequencies": 0, "layers": 2}),
        (nft, mlp((2, 4, 3)), {"io_encoding": "sinusoidal"}),
        (nft, JOINED_RECURRENT, {}),
        (nft, CONVOLUTION, {}),
        (encoder, CONVOLUTION, {"mixing": 0}),
    ],
    ids=["chain", "one hidden layer", "recurrence", "convolution", "encoded convolution"],
)
def test_every_architecture_is_read(make, symmetry, settings):
    check_laws(make(symmetry, **settings), symmetry, key=KEY)


def test_without_an_encoding_alone_inputs_and_outputs_permute_too():
    permuted = permutable_io(CHAIN)
    assert check_invariant(nft(CHAIN, io_encoding="none"), permuted, key=KEY) < 1e-10
    with pytest.raises(AssertionError, match=r"'permute' on group '(in|out)' changes output"):
        check_invariant(nft(CHAIN), permuted, key=KEY)


def test_the_rows_of_the_array_differ():
    found = np.asarray(eqx.filter_jit(encoder(CHAIN).array)(random_weights(KEY, CHAIN)))
    assert found.shape == (3, 4)
    assert np.abs(found[0] - found[1]).max() > 1e-2
