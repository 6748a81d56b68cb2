"""`Group` and `Fixed`: what the names of axes stand for."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from wsjax.errors import check_choice, check_number, check_several, fields_as_python, listing

Action: TypeAlias = Literal["permute", "sign", "phase", "rescale", "linear"]
Convention: TypeAlias = Literal["affine", "kernel"]
Role: TypeAlias = Literal["input", "output", "internal"]

ODD = ("sine", "tanh", "linear")
HOMOGENEOUS = ("relu", "leaky_relu", "linear")
ACTIONS: tuple[Action, ...] = ("permute", "sign", "phase", "rescale")
"""What acts neuron by neuron, and what an activation allows by itself."""
ALL_ACTIONS: tuple[Action, ...] = (*ACTIONS, "linear")
SUBSUMED: tuple[Action, ...] = ("permute", "sign", "rescale")
"""What a group that takes every invertible matrix takes too."""
CONVENTIONS: tuple[Convention, ...] = ("affine", "kernel")
"""sin(w0 (x W + b)), as in SIREN's code, and sin(w0 x W + b)."""


def actions_of(activation: str) -> tuple[Action, ...]:
    """What an activation lets act on its neurons without changing the function.

    Permutations always; signs where it is odd, a(-z) = -a(z); phases where a(z + k*pi) = (-1)^k a(z); positive
    scales where it is homogeneous, a(s*z) = s*a(z) for s > 0.
    """
    allowed = (True, activation in ODD, activation == "sine", activation in HOMOGENEOUS)
    return tuple(action for action, allows in zip(ACTIONS, allowed, strict=True) if allows)


def frequencies(w0: float | Sequence[float], hidden: int) -> tuple[float, ...]:
    """One w0 for each hidden layer, from one positive number or from as many. Raises ValueError for other numbers."""
    values = np.broadcast_to(w0, np.shape(w0) or max(hidden, 0)).tolist()
    if len(values) != hidden:
        raise ValueError(
            f"w0 has {len(values)} values; the network has {hidden} hidden layers: give one number or {hidden}"
        )
    for value in values:
        check_number("w0", value, low=0, open_low=True)
    return tuple(map(float, values))


@dataclass(frozen=True)
class Group:
    """A set of interchangeable neurons (or channels) and what may act on it.

    `"linear"` among the `actions` lets every invertible matrix M act, what produces the group times M and what consumes
    it times M^-1: for neurons with nothing but linear maps between the arrays that produce and consume them, as the
    rank of a LoRA pair, the query-key and value-output dimensions of an attention head, a bottleneck. It needs the
    activation `"linear"`, includes permutations, signs and scales, and is no default, for the activation alone does
    not allow it: a norm or a gate on the way admits scales or permutations and no matrix.

    `within` names another axis: the group then exists once for each index of it, and each has an element of its own.
    Where that axis is a group too, its indices are permuted with all that is within: `"head": Group(8, "linear",
    actions=("permute",))` and `"key": Group(64, "linear", actions=("linear",), within="head")`. Stacked layers, experts
    and groups of channels are described alike.

    `w0_convention` says where a sine's frequency stands: `"affine"` is sin(w0 (x W + b)), as in SIREN's code;
    `"kernel"` is sin(w0 x W + b). `actions` defaults to all that the activation allows; name fewer where
    something else in the network forbids one (batch statistics: no signs).
    """

    size: int
    activation: str = "relu"
    w0: float = 1.0
    w0_convention: Convention = "affine"
    actions: tuple[Action, ...] | None = None
    within: str | None = None

    def __post_init__(self):
        fields_as_python(self)
        check_number("size of a group", self.size, low=1, integer=True)
        check_number("w0 of a group", self.w0, low=0, open_low=True)
        check_choice("w0 convention", self.w0_convention, CONVENTIONS)
        allowed = actions_of(self.activation)
        check_several("actions", self.actions)
        for action in self.actions or ():
            check_choice("action", action, ALL_ACTIONS)
            if action not in (ALL_ACTIONS if self.activation == "linear" and action != "phase" else allowed):
                raise ValueError(
                    f"action {action!r} does not preserve the function of {self.activation!r} neurons; those allow: "
                    f"{listing(allowed)}. Leave it out, or correct the activation."
                )
        acting = allowed if self.actions is None else tuple(self.actions)
        if "linear" in acting:
            acting = (*SUBSUMED, "linear")
        object.__setattr__(self, "actions", acting)
        if not isinstance(self.within, str | None):
            raise TypeError(f"within of a group is {self.within!r}; expected the name of an axis, or None")

    def allows(self, action: Action) -> bool:
        return action in (self.actions or ())

    @property
    def half_turn(self) -> float:
        """What a phase of 1 adds to a bias."""
        return math.pi / self.w0 if self.w0_convention == "affine" else math.pi


@dataclass(frozen=True)
class Fixed:
    """An axis on which nothing acts: the network's inputs, its outputs, or positions inside it."""

    size: int
    role: Role = "internal"

    def __post_init__(self):
        fields_as_python(self)
        check_number("size of a fixed axis", self.size, low=1, integer=True)
        check_choice("role of a fixed axis", self.role, ("input", "output", "internal"))
