"""Settings given as text."""

import functools
import json
from collections.abc import Callable
from typing import Any


def parse_settings(text: str, name: str = "settings") -> dict:
    """Settings by name from JSON.

    Raises:
        ValueError: the text is no JSON object.
    """
    try:
        settings = json.loads(text)
    except json.JSONDecodeError:
        settings = None
    if not isinstance(settings, dict):
        raise ValueError(f"{name} is {text!r}; expected a JSON object, such as '{{\"NAME\": 32}}'")
    return settings


def whole_or_part(whole: Callable[..., Any], one_part: Callable[..., Any], part: str | None) -> Callable[..., Any]:
    """What fits the whole of a data set, or the part of it that is named; that takes the same arguments.

    Raises:
        ValueError: the text names no part.

    Example:
        >>> from wsjax.data import fit_dataset, fit_part
        >>> whole_or_part(fit_dataset, fit_part, None) is fit_dataset
        True
        >>> whole_or_part(fit_dataset, fit_part, "1/4").keywords
        {'part': Part(number=1, count=4)}
    """
    from wsjax.data import Part

    return whole if part is None else functools.partial(one_part, part=Part.parse(part))
