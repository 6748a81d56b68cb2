"""Scores of frozen features: a linear model and nearest neighbors, whose settings validation chooses."""

import warnings
from typing import Any, NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.preprocessing import StandardScaler

C = (0.01, 0.1, 1.0, 10.0)
"""Inverse strengths of the linear model's penalty."""

NEIGHBORS = (1, 5, 20)
ITERATIONS = 300


class Split(NamedTuple):
    """The features of a split's networks, and their labels, classes or targets."""

    features: np.ndarray
    label: np.ndarray


class Chosen(NamedTuple):
    """A fitted model, its setting, and what it reached on the split that chose it."""

    model: Any
    setting: float
    validation: float


class Probes(NamedTuple):
    """Both models of one reader's features, behind what brings the training ones to mean 0 and deviation 1.

    train: the linear model's score on the training split.
    """

    scaler: StandardScaler
    linear: Chosen
    neighbors: Chosen
    train: float

    def scores(self, split: Split) -> tuple[float, float]:
        """The linear model's score on a split, and the neighbors': accuracy of classes, R2 averaged over targets."""
        scaled = self.scaler.transform(split.features)
        linear, near = (float(chosen.model.score(scaled, split.label)) for chosen in (self.linear, self.neighbors))
        return linear, near


def fit_probes(train: Split, validation: Split) -> Probes:
    """Fit both on the training features at each setting, and take those that score best on validation.

    Logistic regression and a vote where labels are integers, ridge regression and a mean where they are floats.
    """
    scaler = StandardScaler().fit(train.features)
    training, held_out = (Split(np.asarray(scaler.transform(x)), label) for x, label in (train, validation))
    near = [k for k in NEIGHBORS if k <= len(train.label)]
    if np.issubdtype(train.label.dtype, np.integer):
        linear = {c: LogisticRegression(C=c, max_iter=ITERATIONS) for c in C}
        neighbors = {k: KNeighborsClassifier(k) for k in near}
    else:
        linear = {c: Ridge(alpha=1 / c) for c in C}
        neighbors = {k: KNeighborsRegressor(k) for k in near}
    best = _best(linear, training, held_out)
    return Probes(scaler, best, _best(neighbors, training, held_out), float(best.model.score(*training)))


def _best(candidates: dict[Any, Any], train: Split, validation: Split) -> Chosen:
    with warnings.catch_warnings():
        # A weak penalty converges slowly, and the model is judged as it stands.
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = {setting: model.fit(*train) for setting, model in candidates.items()}
    scores = {setting: float(model.score(*validation)) for setting, model in fitted.items()}
    best = max(scores, key=lambda setting: scores[setting])
    return Chosen(fitted[best], best, scores[best])
