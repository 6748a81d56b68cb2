"""`wsjax evaluate`."""

from wsjax import data
from wsjax import train as training
from wsjax.cli.arguments import Dataset, Run
from wsjax.cli.unfinished import say_if_unfinished


def evaluate(run: Run, dataset: Dataset, /, *, split: str = "test") -> None:
    """Score a trained reader on a split of a data set.

    Args:
        run: A directory that `wsjax train` made.
        dataset: A directory that `wsjax fit` made, of the same architecture.
        split: train, validation or test.
    """
    trained = training.load_trained(run)
    say_if_unfinished(trained, run)
    accuracies = training.evaluate(trained, data.load(dataset), split)
    for trial, accuracy in zip(trained.trials, accuracies, strict=True):
        print(f"seed {trial.seed}: {split} accuracy {accuracy:.1%}")
    print(f"{trained.plan.reader} of {run} on {dataset}: mean {sum(accuracies) / len(accuracies):.1%}")
