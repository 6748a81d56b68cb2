"""`wsjax train`."""

from typing import Literal

from wsjax.cli.arguments import Dataset, Json, Out, Spec
from wsjax.cli.given import check_dataset
from wsjax.cli.settings import parse_settings


def train(
    dataset: Dataset,
    out: Out,
    /,
    *,
    reader: str = "dws",
    augment: Spec = "",
    epochs: int = 60,
    batch_size: int = 128,
    learning_rate: float = 6e-3,
    weight_decay: float = 0.1,
    dropout: float = 0.0,
    seeds: int = 3,
    evaluate_every: int = 0,
    settings: Json = "{}",
    trains: Literal["all", "head"] = "all",
    compute: Literal["float32", "bfloat16"] = "float32",
    microbatches: int = 1,
    average: float = 0.0,
    strength: Literal["constant", "rising", "falling"] = "constant",
) -> None:
    """Train a reader on a data set, several seeds at once, and score it once on the test split.

    Whole-number labels are classes, scored by accuracy; float labels, such as a zoo's test accuracies, are targets that
    the reader predicts, scored by R2. The epoch with the best validation score is kept for each seed.

    An interrupted training goes on when the same command is given again.

    Args:
        dataset: A directory that `wsjax fit`, `wsjax zoo` or `wsjax convert` made.
        out: The directory of the run.
        reader: dws, mlp, probe, activation_probe, probed_dws, hybrid, statistics, rows, scale_gmn, weight_gcn,
            nfn, nft, array_encoder, neural_graph or relational.
        augment: Steps joined by '|', e.g. "flip_signs | rotate(max_degrees=30) | mixup(alpha=0.4)", or "recommended".
        epochs: Passes over the training split.
        batch_size: Networks a step.
        learning_rate: The peak, after warm-up and before cosine decay.
        weight_decay: Decoupled, as in AdamW.
        dropout: Share of the reader's channels dropped.
        seeds: How many readers to train side by side, seeds 0, 1, ...
        evaluate_every: Epochs between evaluations; 0 takes the largest number up to 5 that divides the epochs.
        settings: A size, small, base or published, or the reader's own settings as JSON, e.g. '{"channels": 32}'.
        trains: The whole reader, or its head alone, on a trunk that stays as it was drawn.
        compute: What a step's passes compute in; bfloat16 is for accelerators, and parameters stay in float32.
        microbatches: Parts in which a step reads its batch, one after the other, in so much less memory.
        average: Decay of an average of the parameters over steps, e.g. 0.99, that is scored and kept; 0 keeps none.
        strength: Of the augmentation over the training: the same, or rising from nothing or falling to it.
    """
    from wsjax import data, models, viz
    from wsjax import train as training
    from wsjax.augment import format_spec, read_spec
    from wsjax.demo import score_row, summary_table
    from wsjax.errors import check_number
    from wsjax.train import Plan, Trial, record

    check_number("seeds", seeds, low=1, whole=True)
    check_dataset(dataset)
    networks = data.load(dataset)
    plan = Plan(
        reader=reader,
        reader_settings=models.config_of(reader, settings if settings.isidentifier() else parse_settings(settings)),
        augment=format_spec(read_spec(augment)),
        epochs=epochs,
        batch_size=batch_size,
        evaluate_every=evaluate_every,
        trains=trains,
        compute=compute,
        microbatches=microbatches,
        average=average,
        strength=strength,
    )
    trials = [Trial(seed, learning_rate, weight_decay, dropout) for seed in range(seeds)]
    trained = training.train(networks, plan, trials, out)
    taus = None if trained.targets is None else training.kendall_tau(trained, networks)
    row = score_row(trained, training.evaluate(trained, networks), taus)
    record.write_json(out / record.RESULT, row)
    viz.curves({reader: trained.history}, out / "curves.png")
    print(summary_table({reader: row}))
    print(f"the trained readers, metrics.jsonl, {record.RESULT} and curves.png are in {out}")
