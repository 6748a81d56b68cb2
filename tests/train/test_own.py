"""Models and tasks of users' own in the library's loop."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.train.helpers import SMALL, assert_close, bits, mlp, trained_on
from wsjax import train
from wsjax.models.wrappers import Rescaled
from wsjax.train import Classification, Metric, Regression, Run, Task, TrainConfig, fit
from wsjax.train.results import row_of, summary_table
from wsjax.train.step import advance

PLAIN = TrainConfig("flip_signs | mixup", epochs=3, batch_size=16)


class Plain(eqx.Module):
    """A user's own reader, whose modules are in a dict: it takes the weights alone."""

    parts: dict[str, eqx.nn.Linear]
    rows: jax.Array

    def __init__(self, outputs: int = 10, *, key):
        self.parts = {"last": eqx.nn.Linear(4, outputs, key=key)}
        self.rows = jnp.arange(4)

    def __call__(self, weights):
        return self.parts["last"](weights[-1].kernel[self.rows, 0])


OWN = lambda key: Plain(key=key)


class WithKey(Plain):
    def __call__(self, weights, key=None):
        noise = 0.0 if key is None else jax.random.normal(key, (4,))
        return self.parts["last"](weights[-1].kernel[:, 0] + noise)


class WithBoth(Plain):
    def __call__(self, weights, *, key=None, dropout_rate=0.0):
        features = weights[-1].kernel[:, 0]
        if key is not None:
            features = jnp.where(jax.random.bernoulli(key, 1 - dropout_rate, (4,)), features, 0.0)
        return self.parts["last"](features)


class Dropping(Plain):
    """With Equinox's dropout, which needs a key but in inference mode, and a key that is the same for all seeds."""

    drop: eqx.nn.Dropout
    fixed: jax.Array

    def __init__(self, *, key):
        super().__init__(key=key)
        self.drop, self.fixed = eqx.nn.Dropout(0.5), jax.random.key(0)

    def __call__(self, weights, *, key=None):
        return self.parts["last"](self.drop(weights[-1].kernel[:, 0], key=key))


@pytest.mark.parametrize("kind", [Plain, WithKey, WithBoth, Dropping])
def test_a_users_own_reader_trains_is_scored_and_predicts(networks, kind):
    result = fit(networks, lambda key: kind(key=key), PLAIN, seeds=[0, 1, 2], progress=False)
    assert [line.split()[0] for line in result.table().splitlines()[1:]] == ["0", "1", "2"]
    assert (result.name, type(result.model())) == (kind.__name__, kind)
    assert len(train.evaluate(result, networks)) == 3
    assert result.predict(networks.network(0)).shape == (10,)
    for run in (0, 2):
        by_hand = jax.jit(jax.vmap(lambda w, run=run: result.model(run)(w)))(networks.weights)
        np.testing.assert_allclose(result.predict(networks.weights, run), by_hand, atol=1e-6)
    first = [line["loss"] for line in result.history if line["run"] == 0]
    assert first[-1] != first[0]
    copies = train.evaluate(result, networks, copies=2, augment="scale(max_log=0.1)")
    assert len(copies) == 3


def test_what_a_reader_draws_in_training_comes_from_the_key_it_takes(networks):
    same = lambda kind, **given: bits(
        fit(networks, lambda key: kind(key=key), TrainConfig(epochs=1), progress=False, **given).state.parameters
    )
    plain = same(Plain)
    assert same(WithBoth) == plain  # nothing is dropped at rate 0
    assert same(WithBoth, runs=[Run(dropout_rate=0.5)]) != plain
    assert same(WithKey) != plain


def test_a_users_own_regressor_gives_targets_in_their_units(networks):
    metadata = replace(networks.metadata, classes=())
    labeled = replace(networks, label=(50 + 7 * networks.columns["psnr"]).astype(np.float32), metadata=metadata)
    result = fit(labeled, lambda key: Plain(1, key=key), PLAIN, progress=False)
    assert isinstance(result.model(), Rescaled)
    given = result.predict(labeled.weights)[:, 0]
    rows = labeled.columns["split"] == 2
    residual = np.sum((labeled.label[rows] - given[rows]) ** 2)
    expected = 1 - residual / np.sum((labeled.label[rows] - labeled.label[rows].mean()) ** 2)
    np.testing.assert_allclose(train.evaluate(result, labeled)[0], expected, rtol=1e-3)


@pytest.fixture
def own_run(networks, tmp_path, broken):
    """A training of a user's own reader, broken once, and its directory."""
    train_on = partial(fit, networks, OWN, PLAIN, seeds=[0, 1], progress=False)
    broken(train_on, tmp_path, first=1)
    return train_on(out=tmp_path), tmp_path


def test_a_users_own_reader_goes_on_to_the_same_bits_and_loads_by_the_function_that_makes_it(
    networks, own_run, untyped
):
    result, out = own_run
    assert bits(result.state) == bits(fit(networks, OWN, PLAIN, seeds=[0, 1], progress=False).state)
    found = train.load(out, OWN)
    assert bits(found.state) == bits(result.state)
    np.testing.assert_array_equal(found.predict(networks.weights, 1), result.predict(networks.weights, 1))
    with pytest.raises(ValueError, match=r"by a function of your own: pass that function, train\.load\(.*, make_model"):
        train.load(out)


class Deeper(Plain):
    bias: jax.Array

    def __init__(self, *, key):
        super().__init__(key=key)
        self.bias = jnp.zeros(10)


class Turned(Plain):
    def __init__(self, *, key):
        super().__init__(key=key)
        self.rows = jnp.arange(4)[::-1]


class Scaled(Plain):
    scale: float = eqx.field(static=True)

    def __init__(self, scale=jax.random.uniform, *, key):
        super().__init__(key=key)
        self.scale = float(scale(key))


def half(key):
    return jax.tree.map(lambda x: x.astype(jnp.float16) if eqx.is_inexact_array(x) else x, Plain(key=key))


OTHERS = {
    r"constants\.model\.rows is 'SHA-256 .*' there and 'SHA-256": lambda key: Turned(key=key),
    r"constants\.model\.scale is None there and 2\.0 here": lambda key: Scaled(lambda _: 2.0, key=key),
    r"parameters\.model\.bias is ": lambda key: Deeper(key=key),
    r"parameters\.model\.parts\['last'\]\.bias is 'float32\[10\]' there and 'float16\[10\]' here": half,
    r"constants\.model\.parts\['last'\]\.out_features is 10 there and 9 here": lambda key: Plain(9, key=key),
}


def test_other_structures_shapes_and_dtypes_are_refused_by_leaf(networks, own_run):
    _, out = own_run
    for leaf, make_model in OTHERS.items():
        with pytest.raises(ValueError, match=rf"the model is other than that of the run in .*: {leaf}"):
            train.load(out, make_model)
    for kind, named in ((Deeper, r"parameters\.model\.bias is None"), (Turned, r"constants\.model\.rows is 'SHA")):
        with pytest.raises(ValueError, match=rf"holds a training with other settings: .*{named}"):
            fit(networks, lambda key, kind=kind: kind(key=key), PLAIN, seeds=[0, 1], out=out, progress=False)


@dataclass(frozen=True)
class Quality(Task):
    """A user's own task: the mean absolute difference from a column, in place of labels."""

    metric: ClassVar[Metric] = Metric("nearness", "nearness", ".3f")
    unit: float = 10.0

    def labels(self, part, split_name):
        return np.asarray(part.columns["psnr"], np.float32)[:, None] / np.float32(self.unit)

    def loss(self, outputs, label):
        return jnp.mean(jnp.abs(outputs - label))

    def score(self, outputs, label):
        return -self.loss(outputs, label)


def test_a_users_own_task_trains_selects_and_is_stored(networks, tmp_path):
    config = TrainConfig("flip_signs", epochs=6, evaluate_every=2, batch_size=16)
    result = fit(networks, lambda key: Plain(1, key=key), config, task=Quality(), out=tmp_path, progress=False)
    scores = [line["validation_nearness"] for line in result.history]
    assert result.scores()[0]["validation_nearness"] == max(scores)
    assert f"{max(scores):.3f}" in result.table()
    assert f"{max(scores):.3f}" in summary_table({"own": row_of(result, train.evaluate(result, networks))})
    part = networks.split("validation")
    off = np.abs(result.predict(part.weights) - Quality().labels(part, "validation")).mean()
    np.testing.assert_allclose(-off, max(scores), rtol=1e-4)
    np.testing.assert_allclose(train.evaluate(result, networks, "validation")[0], max(scores), rtol=1e-5)
    make_model = lambda key: Plain(1, key=key)
    assert bits(train.load(tmp_path, make_model, task=Quality()).state) == bits(result.state)
    with pytest.raises(ValueError, match=r"other settings: task\.unit is 10\.0 there and 5\.0 here"):
        fit(networks, make_model, config, task=Quality(5.0), out=tmp_path, progress=False)
    for other in (Quality(5.0), train.Contrastive()):
        with pytest.raises(ValueError, match=r"the task is other than that of the run in .*: task\..* is .*Pass the t"):
            train.load(tmp_path, make_model, task=other)
    with pytest.raises(ValueError, match="is Quality, which is not the library's: pass it as task="):
        train.load(tmp_path, make_model)


class Plainest(Task):
    """No dataclass."""

    metric = Quality.metric
    labels, loss, score = Quality.labels, Quality.loss, Quality.score


class Partial(Task):
    metric = Quality.metric
    labels = Quality.labels


def test_tasks_are_equal_by_kind_and_settings_and_one_that_lacks_a_method_is_not_made():
    assert (Plainest(), hash(Plainest())) == (Plainest(), hash(Plainest()))
    assert Plainest() != Quality() != Quality(5.0)
    partial: Any = Partial
    with pytest.raises(TypeError, match=r"abstract class Partial.*loss.*score"):
        partial()


def test_runs_with_settings_of_their_own_share_one_program(networks):
    """A second training with other numbers compiles no step."""
    programs: Any = advance
    trained_on(networks)
    before = programs._cache_size()
    strengths = [f"rotate(max_degrees={degrees}) | scale(max_log=0.1)" for degrees in (10, 10)]
    runs = [Run(5, 1e-3, 0.3, 0.05, strengths[0]), Run(6, 2e-2, 0.0, 0.2, strengths[1])]
    result = trained_on(networks, SMALL, runs)
    assert programs._cache_size() == before
    alone = trained_on(networks, SMALL, [runs[1], replace(runs[1], seed=7)])
    assert programs._cache_size() == before
    second = jax.tree.map(lambda leaf: np.asarray(leaf)[1], result.state.parameters)
    assert_close(jax.tree.map(lambda leaf: np.asarray(leaf)[0], alone.state.parameters), second, 1e-5)


def test_seeds_are_the_short_form_of_runs(networks):
    short = fit(networks, mlp(networks), SMALL, seeds=[3, 4], progress=False)
    assert bits(short.state) == bits(trained_on(networks, SMALL, [Run(3), Run(4)]).state)


class Tuple(Plain):
    def __call__(self, weights) -> Any:
        return super().__call__(weights), weights


class Drawn(Plain):
    def __init__(self, *, key):
        super().__init__(key=key)
        self.rows = jax.random.permutation(key, 4)


class Keyed(Plain):
    def __init__(self, *, key):
        super().__init__(key=key)
        self.rows = key


class NeedsKey(Plain):
    def __call__(self, weights, key):  # pyright: ignore[reportIncompatibleMethodOverride]
        return super().__call__(weights)


def test_what_cannot_be_trained_is_named(networks, untyped):
    train_on: Any = fit  # no type checker takes these
    own: Any = lambda kind, **given: lambda key: kind(key=key, **given)
    dropping, frozen = {"runs": [Run(), Run(dropout_rate=0.2)]}, {"config": replace(PLAIN, freeze="trunk")}
    two, five, one = {"seeds": [0, 1]}, {"task": Classification(5)}, {"task": Regression(1)}
    model = Plain(key=jax.random.key(0))
    for make_model, given, message in (
        (own(Plain, outputs=3), {}, r"outputs for one network have shape \(3,\); expected \(10,\), one for"),
        (own(Tuple), {}, r"the model gives .* for one network; expected one array of outputs"),
        (own(WithKey), dropping, r"dropout_rate is 0\.2; WithKey takes no dropout_rate"),
        (own(Plain), {"seeds": [0], "runs": [Run()]}, "seeds and runs are both given; expected one of"),
        (own(Plain), {"seeds": []}, r"there are no runs; expected one at least: pass seeds=\[0\]"),
        (own(Plain), {"seeds": [0, 1, 0]}, r"runs 0 and 2 are equal, .*; expected runs that differ"),
        (own(Drawn), two, r"of seed 1 is other than that of seed 0: constants\.model\.rows is 'SHA-256"),
        (own(Scaled), two, r"of seed 0: constants\.model\.scale is 0\..* there and 0\..* here"),
        (own(Keyed), two, r"of seed 0: constants\.model\.rows is 'a PRNG key, SHA-256"),
        (own(NeedsKey), {}, "NeedsKey takes key without a default; expected key=None, as scores and predictions"),
        (own(Plain, outputs=5), five, r"of digits .* run to 9; expected 0 to 4, as"),
        (own(Plain, outputs=1), one, r"mean is \(\); expected a number for each of 1 ta"),
        (own(Plain), frozen, r"Plain has the fields parts, rows and no head; expected the head in a field"),
        (own(Plain), {"checkpoint_seconds": float("nan")}, "checkpoint_seconds is nan; it must be one number in"),
        (lambda key: jnp.tanh, {}, r"has no floating arrays; expected parameters to train"),
    ):
        with pytest.raises(ValueError, match=message):
            train_on(networks, make_model, **{"config": PLAIN, "progress": False, **given})
    for make_model, given, message in (
        (model, {}, r"make_model is a model, Plain; .*: lambda key: Plain\(key=key\)"),
        (Plain, {}, r"make_model is Plain, .* expected a function of a key: lambda key: Plain\(\.\.\., key=key\)"),
        (lambda key: jnp.ones(3), {}, r"make_model gave .*; expected a model that is called with the wei"),
        ("dws", {}, r"make_model is 'dws'; expected a function of a key that gives a model"),
        (own(Plain), {"seeds": 3}, r"seeds is 3; expected a list: seeds=\[0, 1\]"),
        (own(Plain), {"runs": [0]}, r"runs\[0\] is 0; expected a train\.Run"),
        (own(Plain), {"config": 2}, r"config is 2; expected a train\.TrainConfig"),
        (own(Plain), {"task": Regression}, r"task is <class .*Regression'>; expected a task, such as train\.Contras"),
        (own(Plain), {"dataset": "runs/set"}, "dataset is 'runs/set'; expected a WeightDataset"),
    ):
        with pytest.raises(TypeError, match=message):
            train_on(make_model=make_model, **{"dataset": networks, "config": PLAIN, "progress": False, **given})
