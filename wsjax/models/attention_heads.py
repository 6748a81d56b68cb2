"""Heads of attention share channels evenly."""


def check_heads(name: str, channels: int, heads: int) -> None:
    """Raise ValueError unless so many heads divide the channels that a setting of this name gives them."""
    if channels % heads:
        raise ValueError(
            f"{name} is {channels}; expected a multiple of heads, {heads}, as the heads share it evenly: set one of "
            f"them to suit"
        )
