"""A node's parameters: declared, described, checked together, and turned into settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.node import Node

S = TypeVar('S')


@dataclass(frozen=True)
class Parameter:
    """One parameter as users see it."""

    name: str
    default: Any
    description: str
    limits: tuple[float, float] | None = None
    choices: tuple[str, ...] = field(default=())
    read_only: bool = False

    @property
    def descriptor(self) -> ParameterDescriptor:
        descriptor = ParameterDescriptor(description=self.description, read_only=self.read_only)
        if self.limits is not None and isinstance(self.default, float):
            low, high = self.limits
            descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
        elif self.limits is not None:
            low, high = self.limits
            descriptor.integer_range = [IntegerRange(from_value=low, to_value=high, step=1)]
        if self.choices:
            descriptor.additional_constraints = 'one of ' + ', '.join(self.choices)
        return descriptor


AUTOSTART = Parameter(
    'autostart', True, 'Configure and activate at start, without a manager.', read_only=True
)

OVERLAY_RATE = Parameter(
    'overlay.rate', 10.0, 'Most overlay images per second [Hz].', limits=(0.1, 1000.0)
)


def declare_parameter(node: Node, parameter: Parameter) -> Any:
    """
    Declare a parameter, if it is not declared yet; returns its value.

    Raises rclpy's ParameterException naming the parameter if the value given for it is refused.
    """
    if not node.has_parameter(parameter.name):
        node.declare_parameter(parameter.name, parameter.default, parameter.descriptor)
    return node.get_parameter(parameter.name).value


class Parameters(Generic[S]):
    """
    The values of a node's parameters, and the settings that they state, as they change.

    interpret: makes settings of (all values, names of the changed ones, settings before or None);
    raises TypeError or ValueError with the reason if a value is bad.
    changed: called with the names of changed parameters, after `settings` holds them.
    more: further parameters, which depend on the values of those in the table; raises ValueError
    with the reason if one of these is bad.
    """

    def __init__(
        self,
        node: Node,
        table: tuple[Parameter, ...],
        interpret: Callable[[dict[str, Any], set[str], S | None], S],
        changed: Callable[[set[str]], None],
        more: Callable[[dict[str, Any]], tuple[Parameter, ...]] = lambda values: (),
    ):
        self.settings: S | None = None  # until declared
        self._node = node
        self._table = table
        self._interpret = interpret
        self._changed = changed
        self._more = more
        self._values: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def declare(self) -> None:
        """
        Declare all parameters that are not declared yet, and take their values.

        Raises ValueError, or rclpy's ParameterException, naming the parameter that is refused.
        """
        first = not self._values
        values = {p.name: declare_parameter(self._node, p) for p in self._table}
        values |= {p.name: declare_parameter(self._node, p) for p in self._more(values)}
        self.settings = self._checked(values, set(values))
        self._values = values
        if first:
            self._node.add_on_set_parameters_callback(self._on_set)

    def _on_set(self, parameters: list) -> SetParametersResult:
        """Take a change of several parameters together, or refuse it with the reason."""
        changes = {p.name: p.value for p in parameters if p.name in self._values}
        if not changes:
            return SetParametersResult(successful=True)
        values = self._values | changes
        try:
            self.settings = self._checked(values, set(changes))
        except (TypeError, ValueError) as error:
            return SetParametersResult(successful=False, reason=str(error))
        self._values = values
        self._changed(set(changes))
        return SetParametersResult(successful=True)

    def _checked(self, values: dict[str, Any], changed: set[str]) -> S:
        """Settings that these values state; ValueError with the reason if they are bad."""
        for parameter in self._table:
            if parameter.choices and values[parameter.name] not in parameter.choices:
                raise ValueError(
                    f'{parameter.name}: {values[parameter.name]!r}, expected '
                    f'{parameter.descriptor.additional_constraints}'
                )
        return self._interpret(values, changed, self.settings)
