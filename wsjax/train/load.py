"""From a run's directory back to its models."""

import json
from pathlib import Path
from typing import Any, TypeVar

import equinox as eqx

from wsjax.data import Metadata
from wsjax.errors import DataError, json_differences, listing
from wsjax.models import NamedReader
from wsjax.train import checkpoint, journal, record
from wsjax.train.config import Run, TrainConfig
from wsjax.train.contrastive import Contrastive
from wsjax.train.model import MakeModel, contents_of, made, shapes_of_one
from wsjax.train.result import Result
from wsjax.train.state import init_states
from wsjax.train.task import Classification, Regression, Task

Settings = TypeVar("Settings", TrainConfig, Run)


def load(run: str | Path, make_model: MakeModel | None = None, *, task: Task | None = None) -> Result:
    """A run's directory as the `Result` that its training returned, under any of JAX's settings.

    Args:
        run: the directory that `fit(..., out=run)` or `wsjax train` made.
        make_model: what the training was given; a reader by name (`models.NamedReader`) is made of the record.
        task: what the training was given; those of the library are made of the record.

    Raises:
        ValueError: a model or a task of your own that is not given, or not the run's: what differs is named.
        DataError: no run there, a damaged record or checkpoint, metrics that lack an evaluation, or no checkpoint yet.

    Example:
        `networks` is a data set of digits.

        >>> import tempfile
        >>> from wsjax import models, train
        >>> make_model = lambda key: models.FlatMLP(networks.symmetry, 10, key=key)
        >>> out = tempfile.mkdtemp()
        >>> _ = train.fit(networks, make_model, train.TrainConfig(epochs=2), out=out, progress=False)
        >>> load(out, make_model).model()(networks.network(0)).shape
        (10,)
    """
    directory = Path(run)
    content = record.read_proved(directory / record.RECORD)
    config, metadata = _unparsed(TrainConfig, content["config"]), Metadata.from_json(content["metadata"])
    runs = tuple(_unparsed(Run, own) for own in content["runs"])
    task = _task(content["task"], directory) if task is None else task
    if differences := json_differences(content["task"], json.loads(json.dumps(task.to_json())), "task"):
        raise ValueError(
            f"the task is other than that of the run in {directory}: {listing(differences)}. Pass the task that it was "
            f"trained with"
        )
    if make_model is None:
        if "settings" not in (named := content["model"]):
            raise ValueError(
                f"the model of {directory} is {named['name']}, made by a function of your own: pass that function, "
                f"train.load({str(directory)!r}, make_model)"
            )
        make_model = NamedReader(named["name"], metadata, named["settings"], named["out_size"])
    stored = checkpoint.newest(directory)
    if stored is None:
        raise DataError(f"{directory} has no checkpoint yet; expected one. Run its training until the first is written")
    with stored.under_its_settings():
        parameters, frozen = made(make_model, [one.seed for one in runs])
        model = eqx.combine(shapes_of_one(parameters), frozen)
        record.check_contents(directory, content, contents_of(model))
        state = stored.state(init_states(config, [one.filled(config) for one in runs], parameters))
    metrics = directory / record.METRICS
    history = journal.read(metrics, up_to_epoch=stored.epoch)
    journal.check_whole(metrics, history, config, len(runs), stored.epoch)
    return Result(config, runs, task, state, frozen, history, metadata, content["model"]["name"])


def _unparsed(kind: type[Settings], content: dict[str, Any]) -> Settings:
    """A record's settings, whose SPEC is not read: it may name augmentations that this process has not registered."""
    made = kind(**{name: value for name, value in content.items() if name != "augment"})
    if "augment" in content:
        object.__setattr__(made, "augment", content["augment"])
    return made


def _task(content: dict[str, Any], directory: Path) -> Task:
    match content["name"]:
        case "classification":
            return Classification(content["classes"])
        case "regression":
            return Regression(len(content["mean"]), tuple(content["mean"]), tuple(content["std"]))
        case "contrastive":
            return Contrastive(content["temperature"])
    raise ValueError(f"the task of {directory} is {content['name']}, which is not the library's: pass it as task=")
