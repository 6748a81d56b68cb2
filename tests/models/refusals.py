"""Tables of what is refused, and in which words."""

from collections.abc import Callable
from typing import Any

import pytest

Refusal = tuple[Callable[..., Any], dict[str, Any], str]


def check_refusals(*cases: Refusal) -> None:
    """Each call with its settings raises a ValueError of the message; the one that does not is named."""

    def call(make: Callable[..., Any], settings: dict[str, Any]) -> None:
        make(**settings)
        pytest.fail(f"{make} takes {settings}")

    for make, settings, message in cases:
        with pytest.raises(ValueError, match=message):
            call(make, settings)
