"""`wsjax train` and `wsjax evaluate`."""

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from wsjax.cli import arguments as arg

if TYPE_CHECKING:
    import numpy as np

    from wsjax.data import WeightDataset


def train(
    dataset: arg.Dataset,
    out: arg.Out,
    /,
    *,
    reader: str = "dws",
    augment: arg.Spec = "",
    epochs: int = 60,
    batch_size: int = 128,
    learning_rate: float = 6e-3,
    weight_decay: float = 0.1,
    dropout_rate: float = 0.0,
    seeds: int = 3,
    evaluate_every: arg.MaybeWhole = None,
    settings: arg.Json = "{}",
    freeze: Literal["trunk"] | None = None,
    compute_dtype: Literal["float32", "bfloat16"] = "float32",
    microbatches: int = 1,
    ema_decay: float = 0.0,
    schedule: Literal["constant", "rising", "falling"] = "constant",
    devices: int = 1,
    import_: arg.Imports = (),
) -> None:
    """Train a reader on a data set, several seeds at once, and score it once on the test split.

    Integer labels are classes, scored by accuracy; float labels, such as a zoo's test accuracies, are targets that
    the reader predicts, scored by R2. The epoch with the best validation score is kept for each seed.

    An interrupted training goes on when the same command is given again.

    Args:
        dataset: A directory that `wsjax fit`, `wsjax zoo` or `wsjax convert` made.
        out: The directory of the run.
        reader: dws, mlp, probe, activation_probe, grid_probe, hybrid, statistics, rows, scale_gmn, weight_gcn, nfn,
            nft, array_encoder, neural_graph or relational.
        augment: Steps joined by '|', e.g. "flip_signs | rotate(max_degrees=30) | mixup(alpha=0.4)", or "recommended".
        epochs: Passes over the training split.
        batch_size: Networks a step.
        learning_rate: The peak, after warm-up and before cosine decay.
        weight_decay: Decoupled, as in AdamW.
        dropout_rate: Fraction of the reader's channels dropped.
        seeds: How many readers to train side by side, seeds 0, 1, ...
        evaluate_every: Epochs between evaluations, a divisor of the epochs; by default about twelve evaluations.
        settings: A size, small, base or published, or the reader's own settings as JSON, e.g. '{"channels": 32}'.
        freeze: trunk trains the head alone, on a trunk that stays as it was initialized.
        compute_dtype: Dtype of the forward and backward passes; bfloat16 for accelerators, parameters stay float32.
        microbatches: Parts of each batch, computed one after the other to need less memory.
        ema_decay: Decay of a moving average of the parameters, e.g. 0.99, that is scored and kept; 0 keeps none.
        schedule: Strength of the augmentation over the training: constant, rising from zero or falling to zero.
        devices: How many devices each batch is spread over.
        import_: Modules to import first, such as my_module, which registers augmentations for the SPEC.
    """
    from wsjax import data, models, viz
    from wsjax import train as training
    from wsjax.augment.grammar import format_spec, read_spec
    from wsjax.devices import data_mesh
    from wsjax.errors import check_number
    from wsjax.storage import files
    from wsjax.train import TrainConfig, record
    from wsjax.train.results import row_of, summary_table
    from wsjax.train.task import Regression, task_for

    arg.import_modules(import_)
    check_number("seeds", seeds, low=1, integer=True)
    config = TrainConfig(
        augment=format_spec(read_spec(augment)),
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        dropout_rate=dropout_rate,
        evaluate_every=evaluate_every,
        freeze=freeze,
        compute_dtype=compute_dtype,
        microbatches=microbatches,
        ema_decay=ema_decay,
        schedule=schedule,
    )
    own = models.registry.settings_of(reader, settings if settings.isidentifier() else arg.parse_settings(settings))
    mesh = None if devices == 1 else data_mesh(devices)
    arg.check_dataset(dataset)
    networks = data.load(dataset)
    task = task_for(networks)
    make_model = models.NamedReader(reader, networks.metadata, own, task.out_size)
    result = training.fit(networks, make_model, config, seeds=range(seeds), out=out, task=task, mesh=mesh)
    taus = training.kendall_tau(result, networks) if isinstance(task, Regression) else None
    row = row_of(result, training.evaluate(result, networks), taus)
    files.write_json(out / record.RESULT, row)
    viz.curves({reader: result.history}, out / "curves.png")
    print(summary_table({reader: row}))
    print(f"the trained readers, metrics.jsonl, {record.RESULT} and curves.png are in {out}")


def evaluate(
    run: arg.Run,
    dataset: arg.Dataset,
    /,
    *,
    split: str = "test",
    copies: int = 1,
    augment: arg.Spec = "",
    predictions: arg.MaybePath = None,
    import_: arg.Imports = (),
) -> None:
    """Score a trained reader on a split of a data set: by accuracy; a regressor by R2 and Kendall's tau-b.

    Args:
        run: A directory that `wsjax train` made.
        dataset: A directory that `wsjax fit`, `wsjax zoo` or `wsjax convert` made, of the same architecture.
        split: train, validation or test.
        copies: Augmented copies of each network over which the outputs are averaged.
        augment: What the copies are augmented by, steps on networks joined by '|', e.g. "flip_signs".
        predictions: A CSV file for the outputs of the first seed, a line for each network of the split, not augmented.
        import_: Modules to import first, such as my_module, which registers augmentations that the run names.
    """
    from wsjax import data
    from wsjax import train as training

    arg.import_modules(import_)
    result = training.load(run)
    arg.say_if_unfinished(result, run)
    arg.check_dataset(dataset)
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
