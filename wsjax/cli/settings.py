"""Settings given as text."""

import json


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
