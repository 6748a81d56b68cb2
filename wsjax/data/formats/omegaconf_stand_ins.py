"""OmegaConf's containers inside a PyTorch file, without OmegaConf: inert objects that only keep what was stored."""

from collections import defaultdict
from typing import Any

from wsjax.errors import DataError

MAX_DEPTH = 20


class Inert:
    """Stands in for a class that is never imported: built of anything, it keeps its state and does nothing."""

    state: Any = None

    def __init__(self, *_: Any):
        pass

    def __setstate__(self, state: Any):
        self.state = state


def _stand_in(name: str) -> type:
    return type(name.rpartition(" ")[2], (Inert,), {})


OMEGACONF: dict[str, type] = {
    **{
        name: _stand_in(name)
        for name in (
            "omegaconf.base ContainerMetadata",
            "omegaconf.base Metadata",
            "omegaconf.dictconfig DictConfig",
            "omegaconf.listconfig ListConfig",
            "omegaconf.nodes AnyNode",
            "omegaconf.nodes BooleanNode",
            "omegaconf.nodes FloatNode",
            "omegaconf.nodes IntegerNode",
            "omegaconf.nodes StringNode",
            "typing Any",
        )
    },
    "__builtin__ dict": dict,
    "__builtin__ list": list,
    "__builtin__ long": int,
    "__builtin__ int": int,
    "__builtin__ unicode": str,
    "collections defaultdict": defaultdict,
}
"""What a pickled DictConfig names, as protocol 2 spells it, and what is built in place of each."""


def plain_config(value: Any, where: str, depth: int = 0) -> Any:
    """The dicts, lists and numbers in a configuration, OmegaConf's or plain.

    Raises:
        DataError: it holds something else, or itself.

    Example:
        >>> node = OMEGACONF["omegaconf.nodes AnyNode"]()
        >>> node.__setstate__({"_val": 3, "_parent": None})
        >>> plain_config({"n_layers": node}, "checkpoint.pt")
        {'n_layers': 3}
    """
    if depth > MAX_DEPTH:
        raise DataError(f"{where} is nested more than {MAX_DEPTH} deep; expected a configuration: refused")
    if isinstance(value, Inert):
        state = value.state if isinstance(value.state, dict) else {}
        held = [name for name in ("_content", "_val") if name in state]
        if not held:
            raise DataError(f"{where} holds a {type(value).__name__} without content; expected a configuration")
        return plain_config(state[held[0]], where, depth + 1)
    if isinstance(value, dict):
        return {str(name): plain_config(inner, f"{where}.{name}", depth + 1) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain_config(inner, where, depth + 1) for inner in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise DataError(f"{where} holds a {type(value).__name__}; expected numbers, text, lists and dicts")
