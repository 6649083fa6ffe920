"""ROS parameters of a node: declaration, validation and conversion to settings."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import rclpy.parameter
from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.node import Node

from superpoint_rknn.parameters import unknown_parameter
from superpoint_rknn.settings import Parameter, ParameterGroup, parameter

S = TypeVar('S')


@dataclass(frozen=True)
class NodeSettings(ParameterGroup):
    """Parameters that both nodes have."""

    autostart: bool = parameter(
        True, 'Configure and activate at start, without a lifecycle manager.', read_only=True
    )
    image_transport: str = parameter(
        'auto',
        'raw: sensor_msgs/Image on `image`. compressed: sensor_msgs/CompressedImage on '
        '`image/compressed`. auto: what is published, raw if both are; also compressed images on '
        '`image`.',
        choices=('auto', 'raw', 'compressed'),
        read_only=True,
    )
    overlay_rate: float = parameter(
        10.0,
        'Maximum rate of overlay images; they are drawn only while there is a subscriber.',
        name='overlay.rate',
        unit='Hz',
        limits=(0.1, 1000),
    )


def describe(parameter: Parameter) -> ParameterDescriptor:
    """Return the ROS descriptor of a parameter."""
    unit = f' [{parameter.unit}]' if parameter.unit else ''
    descriptor = ParameterDescriptor(
        description=parameter.help + unit, read_only=parameter.read_only
    )
    is_list = isinstance(parameter.default, tuple)
    descriptor.dynamic_typing = is_list and bool(parameter.choices)  # numbers or a text
    if parameter.choices or is_list:
        descriptor.additional_constraints = parameter.expectation
    elif parameter.limits is not None and isinstance(parameter.default, float):
        low, high = map(float, parameter.limits)
        descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
    elif parameter.limits is not None:
        low, high = map(int, parameter.limits)
        descriptor.integer_range = [IntegerRange(from_value=low, to_value=high, step=1)]
    return descriptor


def declare_parameter(node: Node, parameter: Parameter) -> Any:
    """
    Declare a parameter unless it is declared; return its value.

    Raises rclpy's ParameterException, which names the parameter, if its value is invalid.
    """
    if not node.has_parameter(parameter.name):
        default = parameter.default
        default = list(default) if isinstance(default, tuple) else default
        node.declare_parameter(parameter.name, default, describe(parameter))
    value = node.get_parameter(parameter.name).value
    return value.tolist() if isinstance(value, array) else value


class Parameters(Generic[S]):
    """
    Parameter values of a node and the settings made from them, updated when parameters are set.

    table: the parameters.
    interpret: makes the settings from (all values, names of changed parameters, previous settings
    or None); raises TypeError or ValueError with the reason if a value is invalid.
    changed: called with the names of changed parameters after `settings` is updated.
    more: returns further parameters, given the values of `table`; raises ValueError with the
    reason if a value is invalid.
    Attribute `other_nodes`: Parameters of the other nodes in this process. They get the same
    arguments, so their parameters are not unknown here.
    """

    def __init__(
        self,
        node: Node,
        table: tuple[Parameter, ...],
        interpret: Callable[[dict[str, Any], set[str], S | None], S],
        changed: Callable[[set[str]], None],
        more: Callable[[dict[str, Any]], tuple[Parameter, ...]] = lambda values: (),
    ):
        self._settings: S | None = None  # until declared
        self.other_nodes: Sequence[Parameters] = ()
        self._node = node
        self._table = table
        self._interpret = interpret
        self._changed = changed
        self._more = more
        self._values: dict[str, Any] = {}

    @property
    def settings(self) -> S:
        """Settings for the current values. Raises RuntimeError before `declare`."""
        if self._settings is None:
            raise RuntimeError('the parameters are not declared yet')
        return self._settings

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def declare(self) -> None:
        """
        Declare all parameters and read their values; log unknown parameters once.

        Raises ValueError or rclpy's ParameterException, which name the invalid parameter.
        """
        first = not self._values
        values = {p.name: declare_parameter(self._node, p) for p in self._table}
        values |= {p.name: declare_parameter(self._node, p) for p in self._more(values)}
        self._settings = self._checked(values, set(values))
        self._values = values
        if first:
            self._warn_of_unknown()
            self._node.add_on_set_parameters_callback(self._on_set)

    def _on_set(self, parameters: list) -> SetParametersResult:
        """Set several parameters at once, or refuse all of them with the reason."""
        changes = {p.name: p.value for p in parameters if p.name in self._values}
        if not changes:
            return SetParametersResult(successful=True)
        values = self._values | changes
        try:
            self._settings = self._checked(values, set(changes))
        except (TypeError, ValueError) as error:
            return SetParametersResult(successful=False, reason=str(error))
        self._values = values
        self._changed(set(changes))
        return SetParametersResult(successful=True)

    def _checked(self, values: dict[str, Any], changed: set[str]) -> S:
        """Return the settings for these values. Raises ValueError with the reason if invalid."""
        checked = {p.name: p.check(values[p.name]) for p in self._table}
        return self._interpret(values | checked, changed, self._settings)

    def _is_known(self, name: str) -> bool:
        return self._node.has_parameter(name) or any(p.name == name for p in self._table)

    def _warn_of_unknown(self) -> None:
        """Warn of parameters, set by arguments or files, that no node in this process has."""
        with self._node.handle:
            given = self._node.handle.get_parameters(rclpy.parameter.Parameter)
        for name in sorted(given):
            is_qos = name.startswith('qos_overrides.')  # declared with the topics
            if is_qos or any(each._is_known(name) for each in (self, *self.other_nodes)):
                continue
            self._node.get_logger().warning(f'{unknown_parameter(name)}; the value is ignored')
