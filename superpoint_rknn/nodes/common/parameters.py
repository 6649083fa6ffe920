"""ROS parameters of a node: declaration, validation and conversion to settings."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import rclpy.parameter
from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.exceptions import InvalidParameterValueException
from rclpy.node import Node

from superpoint_rknn.parameters import unknown_parameter
from superpoint_rknn.settings import Parameter, ParameterGroup, parameter

FILES = ('model', 'mask', 'calibration')  # parameters that name a file; last part of the name
FIXED = 'read-only while the node is configured'
# Parameters of ROS and of common tools that files for all nodes (`/**`) contain.
FOREIGN = (
    'use_sim_time',
    'start_type_description_service',
    'qos_overrides.',
    'diagnostic_updater.',
)

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
    constraints = [FIXED] if parameter.read_only else []
    # Any type may be set, so that `Parameters` converts it or refuses it with the reason.
    # rclpy's read_only would keep a refused value for ever.
    descriptor = ParameterDescriptor(description=parameter.help + unit, dynamic_typing=True)
    if parameter.choices or isinstance(parameter.default, tuple):
        constraints.insert(0, parameter.expectation)
    elif parameter.limits is not None and isinstance(parameter.default, float):
        low, high = map(float, parameter.limits)
        descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
    elif parameter.limits is not None:
        low, high = map(int, parameter.limits)
        descriptor.integer_range = [IntegerRange(from_value=low, to_value=high, step=1)]
    descriptor.additional_constraints = '; '.join(constraints)
    return descriptor


def declare_parameter(node: Node, parameter: Parameter) -> Any:
    """
    Declare a parameter unless it is declared; return its value, which may be invalid.

    A valid value gets the type of the default; an invalid one is kept until another one is set.
    """
    if not node.has_parameter(parameter.name):
        default = _ros_value(parameter.default)
        descriptor = describe(parameter)
        try:
            node.declare_parameter(parameter.name, default, descriptor)
        except InvalidParameterValueException:  # out of range
            descriptor.floating_point_range, descriptor.integer_range = [], []
            node.declare_parameter(parameter.name, default, descriptor)
        value = _value_of(node.get_parameter(parameter.name))
        with suppress(ValueError):  # raised again, for all values, when the node is configured
            valid = _ros_value(parameter.check(value))
            node.set_parameters([rclpy.parameter.Parameter(parameter.name, value=valid)])
    return _value_of(node.get_parameter(parameter.name))


def _ros_value(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _value_of(parameter: rclpy.parameter.Parameter) -> Any:
    """Value of a parameter; lists of numbers as lists instead of arrays."""
    value = parameter.value
    return value.tolist() if isinstance(value, array) else value


class Parameters(Generic[S]):
    """
    Parameter values of a node and the settings made from them, updated when parameters are set.

    Values that were invalid at start are declared, too: they can be corrected.

    table: the parameters; they are declared at once.
    interpret: makes the settings from (all values, names of changed parameters, previous settings
    or None); raises TypeError or ValueError with the reason if a value is invalid.
    changed: called with the names of changed parameters after they are set.
    more: returns further parameters, given the values of `table`; raises ValueError with the
    reason if a value is invalid.
    Attribute `other_nodes`: Parameters of the other nodes in this process. They get the same
    arguments, so their parameters are not unknown here.
    Attribute `fixed`: refuse changes of read-only parameters, since the node is configured.
    Attribute `file_was_set`: True if a parameter that names a file was set after the start.
    """

    def __init__(
        self,
        node: Node,
        table: tuple[Parameter, ...],
        interpret: Callable[[dict[str, Any], set[str], S | None], S],
        changed: Callable[[set[str]], None],
        more: Callable[[dict[str, Any]], tuple[Parameter, ...]] = lambda values: (),
    ):
        self.other_nodes: Sequence[Parameters] = ()
        self.fixed = False
        self.file_was_set = False
        self._settings: S | None = None  # None: not read yet, or invalid
        self._node = node
        self._table = {p.name: p for p in table}
        self._interpret = interpret
        self._changed = changed
        self._more = more
        self._has_warned = False  # of unknown parameters
        self._values = {p.name: declare_parameter(node, p) for p in table}
        node.add_on_set_parameters_callback(self._on_set)

    @property
    def settings(self) -> S:
        """Settings for the current values. Raises RuntimeError without a successful `read`."""
        if self._settings is None:
            raise RuntimeError('the parameters are not read yet')
        return self._settings

    @property
    def names(self) -> Iterable[str]:
        """Names of the declared parameters."""
        return self._table

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def update_settings(self, update: Callable[[S], S]) -> None:
        """Replace the settings by a function of them; call it in the executor's thread."""
        self._settings = update(self.settings)

    def read(self) -> None:
        """
        Make the settings from the current values; log unknown parameters once.

        Raises ValueError, which names the parameter, if a value is invalid.
        """
        self._settings = None
        for added in self._more(self._values):
            self._values[added.name] = declare_parameter(self._node, added)
            self._table[added.name] = added
        if not self._has_warned:
            self._warn_of_unknown()
        self._values = {name: p.check(self._values[name]) for name, p in self._table.items()}
        self._settings = self._interpret(self._values, set(self._values), None)

    def _on_set(self, parameters: list) -> SetParametersResult:
        """
        Set several parameters at once, or refuse all of them with the reason.

        Before `read` succeeds, each value is checked alone: other values may be invalid as well.
        """
        changes = {p.name: p for p in parameters if p.name in self._table}
        if not changes:
            return SetParametersResult(successful=True)
        try:
            values = self._values | {name: self._accepted(p) for name, p in changes.items()}
            if self._settings is not None:
                self._settings = self._interpret(values, set(changes), self._settings)
        except (TypeError, ValueError) as error:
            return SetParametersResult(successful=False, reason=str(error))
        self._values = values
        if any(name.rpartition('.')[2] in FILES for name in changes):
            self.file_was_set = True
        self._changed(set(changes))
        return SetParametersResult(successful=True)

    def _accepted(self, changed: rclpy.parameter.Parameter) -> Any:
        """Return the checked new value of a parameter. Raises ValueError if it is refused."""
        parameter = self._table[changed.name]
        if parameter.read_only and self.fixed:
            raise ValueError(f'{changed.name}: {FIXED}; deactivate it and clean it up first')
        if changed.value is None:
            raise ValueError(f'{changed.name}: a parameter of this node cannot be deleted')
        return parameter.check(_value_of(changed))

    def _warn_of_unknown(self) -> None:
        """Warn once of parameters, from arguments or files, that no node in this process has."""
        nodes = (self, *self.other_nodes)
        for each in nodes:
            each._has_warned = True
        with self._node.handle:
            given = self._node.handle.get_parameters(rclpy.parameter.Parameter)
        known = {name for each in nodes for name in each.names}
        for name in sorted(given.keys() - known):
            if not (name.startswith(FOREIGN) or self._node.has_parameter(name)):
                self._node.get_logger().warning(
                    f'{unknown_parameter(name, known)}; the value is ignored'
                )
