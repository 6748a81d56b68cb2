"""`wsjax evaluate`."""

from wsjax.cli.arguments import Dataset, Run, Spec
from wsjax.cli.given import check_dataset


def evaluate(run: Run, dataset: Dataset, /, *, split: str = "test", copies: int = 1, augment: Spec = "") -> None:
    """Score a trained reader on a split of a data set: by accuracy; one of targets by R2 and Kendall's tau-b.

    Args:
        run: A directory that `wsjax train` made.
        dataset: A directory that `wsjax fit`, `wsjax zoo` or `wsjax convert` made, of the same architecture.
        split: train, validation or test.
        copies: Times that each network is read, moved anew each time, with the outputs averaged.
        augment: What moves the copies, steps on networks joined by '|', e.g. "flip_signs".
    """
    from wsjax import data
    from wsjax import train as training
    from wsjax.cli.unfinished import say_if_unfinished

    check_dataset(dataset)
    trained = training.load_trained(run)
    say_if_unfinished(trained, run)
    networks, measure = data.load(dataset), trained.measure
    moved = {"copies": copies, "augment": augment}
    scores = training.evaluate(trained, networks, split, **moved)
    taus = None if trained.targets is None else training.kendall_tau(trained, networks, split, **moved)
    for i, (trial, score) in enumerate(zip(trained.trials, scores, strict=True)):
        rank = "" if taus is None else f", tau {taus[i]:.3f}"
        print(f"seed {trial.seed}: {split} {measure.title} {measure.shown(score)}{rank}")
    rank = "" if taus is None else f", tau {sum(taus) / len(taus):.3f}"
    over = f", over {copies} copies moved by {augment}" if augment else ""
    print(f"{trained.plan.reader} of {run} on {dataset}{over}: mean {measure.shown(sum(scores) / len(scores))}{rank}")
