"""What tests and examples share: data sets and readers that are made once in a process.

A plugin, as the fixtures of `tests/conftest.py` are not those of the examples in `wsjax`.
"""

import re
from typing import Any

import pytest

EXAMPLES = ("networks", "trained")
"""The names that a docstring's example may use without making them: session fixtures."""


@pytest.fixture(autouse=True)
def names_of_examples(request: pytest.FixtureRequest, doctest_namespace: dict[str, Any]) -> None:
    """Gives an example the names that it uses, and skips it where it uses an optional package that is not there."""
    from wsjax.data.optional import EXTRAS

    if isinstance(request.node, pytest.DoctestItem) and request.node.dtest is not None:
        words = set(re.findall(r"\w+", "".join(example.source for example in request.node.dtest.examples)))
        for package in words & EXTRAS.keys():
            pytest.importorskip(package)
        doctest_namespace.update({name: request.getfixturevalue(name) for name in EXAMPLES if name in words})


@pytest.fixture(scope="session")
def networks():
    """40 SIRENs of digits in three splits, fitted once: for every test that needs *a* data set."""
    from wsjax import data
    from wsjax.networks import Network

    recipe = data.Recipe(Network("siren", (2, 4, 4, 1), w0=(3.0,), offset=0.5), steps=20, learning_rate=2e-2, slots=8)
    return data.fit(data.limit(data.load_images("digits"), 40), recipe=recipe, progress=False)


@pytest.fixture(scope="session")
def trained(networks):
    """Two small DWS readers trained on them: for every test that needs *a* training."""
    from tests.train.helpers import CONFIG, RUNS, dws
    from wsjax.train import fit

    return fit(networks, dws(networks), CONFIG, runs=RUNS, progress=False)
