"""How a network was built, as plain data: to write it beside its weights, and to build it again.

:func:`describe` gives a dict that JSON can hold, the class of a network and all its constructor's
arguments; :func:`rebuild` makes the same network from it, untrained. A class takes part by the
decorator :func:`recorded`. Arguments are plain numbers, texts and lists of them, but for sigma,
which is written as :func:`mgnet.activations.describe` does. Nothing of it is in a state dict.
"""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Collection, Mapping
from numbers import Integral, Real
from typing import Any, TypeVar

from torch import nn

from mgnet import activations

__all__ = ["describe", "rebuild", "recorded"]

C = TypeVar("C", bound=type[nn.Module])

_NETWORKS: dict[str, type[nn.Module]] = {}

#: Where an instance keeps its options, or as a text the reason why it cannot.
_KEPT = "_constructor_options"


def recorded(cls: C) -> C:
    """Class decorator: networks of this class remember the arguments they were built with.

    A subclass is another network; it is recorded if it is decorated itself.

    Raises
    ------
    ValueError
        If another class of this name is recorded already.
    """
    name, other = cls.__name__, _NETWORKS.get(cls.__name__)
    if other is not None and (other.__module__, other.__qualname__) != (
        cls.__module__, cls.__qualname__,
    ):  # fmt: skip
        raise ValueError(f"a network {name} is recorded already, from {other.__module__}")
    build = cls.__init__
    signature = inspect.signature(build)

    @functools.wraps(build)
    def init(self: nn.Module, *args: Any, **kwargs: Any) -> None:
        build(self, *args, **kwargs)
        if type(self) is cls:  # in a subclass these are not the arguments it was built with
            bound = signature.bind(self, *args, **kwargs)
            bound.apply_defaults()
            _, *options = bound.arguments.items()
            setattr(self, _KEPT, _plain_options(dict(options)))

    setattr(cls, "__init__", init)  # noqa: B010 - mypy forbids the assignment
    _NETWORKS[name] = cls
    return cls


def describe(model: nn.Module) -> dict[str, Any]:
    """How `model` was built, as plain data; what was changed in it later is not seen.

    Returns
    -------
    dict
        "network", the name of its class, and "options", all arguments of its constructor.

    Raises
    ------
    ValueError
        If the class is not recorded, or an argument is no plain data, such as a sigma that no text
        stands for.

    Examples
    --------
    >>> from mgnet.classic import LeNet5
    >>> describe(LeNet5())
    {'network': 'LeNet5', 'options': {'in_channels': 1, 'num_classes': 10, 'sigma': 'tanh'}}
    """
    name = type(model).__name__
    if _NETWORKS.get(name) is not type(model):
        reason = f"{name} is none of {', '.join(_NETWORKS)}"
    else:
        options = getattr(model, _KEPT, "it was built before arguments were recorded")
        if isinstance(options, dict):
            return {"network": name, "options": copy.deepcopy(options)}
        reason = options
    raise ValueError(
        f"this network cannot be described as plain data: {reason}; build it yourself and load its "
        "weights"
    )


def rebuild(description: Mapping[str, Any]) -> nn.Module:
    """The network that :func:`describe` has described, untrained.

    An option that is missing is one that there was not yet when the description was made, so its
    default must be what the network did before.

    Raises
    ------
    ValueError
        If the network is unknown, an option is unknown, one without a default is missing, or the
        network refuses a value.
    """
    if not isinstance(description, Mapping) or set(description) != {"network", "options"}:
        raise ValueError(f"a description has a network and its options, got {description!r}")
    name, options = description["network"], description["options"]
    if not isinstance(name, str) or name not in _NETWORKS:
        raise ValueError(f"unknown network {name!r}; known are {', '.join(_NETWORKS)}")
    if not isinstance(options, Mapping):
        raise ValueError(f"the options of {name} must be a dict, got {options!r}")
    known = inspect.signature(_NETWORKS[name]).parameters
    if unknown := [str(option) for option in options if option not in known]:
        raise ValueError(f"{name} has no option {', '.join(unknown)}; it knows {', '.join(known)}")
    required = [option for option, p in known.items() if p.default is p.empty]
    if missing := [option for option in required if option not in options]:
        raise ValueError(f"the options of {name} lack {', '.join(missing)}")
    try:
        return _NETWORKS[name](**options)
    except TypeError as error:  # a value of a type that nobody checks
        raise ValueError(f"{name} cannot be built from {dict(options)!r}: {error}") from error


def _plain_options(options: dict[str, Any]) -> dict[str, Any] | str:
    """The options as plain data, or why they are not."""
    try:
        return {
            name: activations.describe(value) if name == "sigma" else _plain(name, value)
            for name, value in options.items()
        }
    except ValueError as error:
        return str(error)


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, bool | str):
        return value
    if isinstance(value, Integral):  # NumPy's too
        return int(value)
    if isinstance(value, Real):
        return float(value)
    if isinstance(value, Collection):
        return [_plain(name, item) for item in value]
    raise ValueError(f"{name} is a {type(value).__name__}")
