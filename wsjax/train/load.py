"""From a run's directory back to its readers."""

from pathlib import Path

from wsjax.data import Card
from wsjax.errors import DataError
from wsjax.train import checkpoint, metrics, record
from wsjax.train.config import Plan, Trial
from wsjax.train.loop import start
from wsjax.train.targets import Targets
from wsjax.train.trained import Trained
from wsjax.typing import Reader


def load(run: str | Path, index: int = 0) -> Reader:
    """The trained reader of a run's directory, with the parameters of its best validation epoch.

    Args:
        run: the directory that `train(..., out=run)` or `wsjax train` made.
        index: which of the runs trained side by side.

    Raises:
        DataError: no run there, or no checkpoint yet. IndexError: no run of that number.

    Example:
        `networks` is a data set, as `data.fit_dataset_in_memory` gives one.

        >>> import tempfile
        >>> import equinox as eqx
        >>> from wsjax.train import Plan, train
        >>> out = tempfile.mkdtemp()
        >>> _ = train(networks, Plan("mlp", epochs=2, evaluate_every=2), out=out, progress=False)
        >>> eqx.filter_jit(load(out))(networks.network(0)).shape
        (10,)
    """
    return load_trained(run).reader(index)


def load_trained(run: str | Path) -> Trained:
    """Everything of a run's directory as the `Trained` that its training returned, under any of JAX's settings.

    Raises:
        DataError: no run there, a damaged record or checkpoint, or no checkpoint yet.

    Example:
        `networks` is a data set, as `data.fit_dataset_in_memory` gives one.

        >>> import tempfile
        >>> from wsjax.train import Plan, train
        >>> out = tempfile.mkdtemp()
        >>> _ = train(networks, Plan("mlp", epochs=2, evaluate_every=2), out=out, progress=False)
        >>> load_trained(out).plan.epochs
        2
    """
    directory = Path(run)
    content = record.read_proved(directory / record.RECORD)
    plan, card = Plan(**content["plan"]), Card.from_json(content["card"])
    trials = tuple(Trial(**t) for t in content["trials"])
    targets = Targets.from_json(content["targets"]) if "targets" in content else None
    stored = checkpoint.newest(directory)
    if stored is None:
        raise DataError(f"{directory} has no checkpoint yet; expected one. Run its training until the first is written")
    with stored.under_its_settings():
        like, frozen = start(card, plan, trials, targets)
        state = stored.state(like)
    history = metrics.read(directory / record.METRICS, up_to_epoch=stored.epoch)
    return Trained(plan, trials, state, frozen, history, card, targets)
