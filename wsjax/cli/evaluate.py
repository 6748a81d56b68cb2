"""`wsjax evaluate`."""

import csv
from pathlib import Path
from typing import TYPE_CHECKING

from wsjax.cli.arguments import Dataset, Imports, MaybePath, Run, Spec
from wsjax.cli.given import check_dataset, import_modules, say_if_unfinished

if TYPE_CHECKING:
    import numpy as np

    from wsjax.data import WeightDataset


def evaluate(
    run: Run,
    dataset: Dataset,
    /,
    *,
    split: str = "test",
    copies: int = 1,
    augment: Spec = "",
    predictions: MaybePath = None,
    import_: Imports = (),
) -> None:
    """Score a trained reader on a split of a data set: by accuracy; one of targets by R2 and Kendall's tau-b.

    Args:
        run: A directory that `wsjax train` made.
        dataset: A directory that `wsjax fit`, `wsjax zoo` or `wsjax convert` made, of the same architecture.
        split: train, validation or test.
        copies: Augmented copies of each network over which the outputs are averaged.
        augment: What the copies are augmented by, steps on networks joined by '|', e.g. "flip_signs".
        predictions: A CSV file for the outputs of the first seed, one line for each network of the split, as it is.
        import_: Modules to import first, such as my_module, which registers augmentations that the run names.
    """
    from wsjax import data
    from wsjax import train as training

    import_modules(import_)
    result = training.load(run)
    say_if_unfinished(result, run)
    check_dataset(dataset)
    networks, metric = data.load(dataset), result.task.metric
    averaged = {"copies": copies, "augment": augment}
    scores = training.evaluate(result, networks, split, **averaged)
    ordered = isinstance(result.task, training.Regression)
    taus = training.kendall_tau(result, networks, split, **averaged) if ordered else None
    for i, (own, score) in enumerate(zip(result.runs, scores, strict=True)):
        rank = "" if taus is None else f", tau {taus[i]:.3f}"
        print(f"seed {own.seed}: {split} {metric.title} {metric.shown(score)}{rank}")
    rank = "" if taus is None else f", tau {sum(taus) / len(taus):.3f}"
    over = f", over {copies} copies augmented by {augment}" if augment else ""
    print(f"{result.name} of {run} on {dataset}{over}: mean {metric.shown(sum(scores) / len(scores))}{rank}")
    if predictions is not None:
        write_predictions(predictions, networks.split(split), training.predict(result, networks, split))
        print(f"the outputs of seed {result.runs[0].seed} are in {predictions}")


def write_predictions(path: Path, part: "WeightDataset", outputs: "np.ndarray") -> None:
    """A line for each network: its row, object, label and outputs, and the predicted class where there are classes."""
    from wsjax.errors import writing

    classes = part.metadata.classes
    names = list(classes) if classes else [f"output_{i}" for i in range(outputs.shape[1])]
    with writing(path), path.open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file)
        lines.writerow(["row", "object", "label", *["predicted"] * bool(classes), *names])
        for row, (label, output) in enumerate(zip(part.label, outputs, strict=True)):
            shown = part.columns["image"][row] if "image" in part.columns else row
            said = [classes[int(label)], classes[int(output.argmax())]] if classes else [label]
            lines.writerow([row, shown, *said, *map(float, output)])
