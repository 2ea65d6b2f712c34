"""A network with random weights: its library's own initialisation, drawn from a generator of its own.

The global generator is the whole process's, so each draw of the constructor is given the seeded generator instead, by a
dispatch mode of the thread. The numbers are those that it gives after `torch.manual_seed(seed)`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from lib.backbones.backbone import Backbone


class _DrawingFrom(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Gives every random operation of the thread one generator."""

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._generator = generator

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        options = dict(kwargs or {})
        if torch.Tag.nondeterministic_seeded in func.tags:
            if not any(argument.name == "generator" for argument in func._schema.arguments):
                func = func.overloadpacket.generator  # rand, randn, randint and randperm take one in an overload
            options["generator"] = self._generator
        call: Callable[..., Any] = func
        return call(*args, **options)


def random_network(backbone: Backbone, seed: int) -> nn.Module:
    """The network on the CPU, float32, in evaluation mode."""
    with _DrawingFrom(torch.Generator().manual_seed(seed)):
        return backbone.build().eval()
