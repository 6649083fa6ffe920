"""
Parameters as dataclass fields, each with its default, range, unit and help text.

A dataclass that inherits from ParameterGroup defines parameters beside the code that uses them and
checks their values when it is created. ROS declarations, `extract`, config/*.yaml and README are
made from these definitions. To find that of `detector.nms_radius`, search for `nms_radius: int`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from numbers import Integral, Real
from typing import Any, ClassVar, Protocol, TypeVar

METADATA = 'parameter'  # key in the metadata of a dataclass field
NUMBERS: dict[type, Any] = {int: Integral, float: Real}  # including NumPy's

T = TypeVar('T')
G = TypeVar('G', bound='ParameterGroup')


class Values(Protocol):
    """Parameter values by name, such as a dict."""

    def __getitem__(self, name: str, /) -> Any:
        """Return the value of a parameter."""
        ...


@dataclass(frozen=True)
class Parameter:
    """
    Definition of one parameter.

    default: bool, int, float, str, a pair of int (rows and columns) or a tuple of str; all values
    must have its type.
    limits: minimum and maximum, inclusive. choices: valid values of a str; of a pair, texts that
    are valid in its place.
    """

    name: str
    default: Any
    help: str
    unit: str = ''
    limits: tuple[float, float] | None = None
    choices: tuple[str, ...] = ()
    read_only: bool = False
    is_file: bool = False  # a path; the field holds the file's content, None for ''

    @property
    def expectation(self) -> str:
        """Description of valid values; follows 'expected' in error messages."""
        between = 'a number' if self.limits is None else '{:g} to {:g}'.format(*self.limits)
        if self._is_pair and self.choices:
            return f'{", ".join(self.choices)} or two whole numbers, {between} each'
        if self.choices:
            return 'one of ' + ', '.join(self.choices)
        if isinstance(self.default, bool):
            return 'true or false'
        if isinstance(self.default, int):
            return f'a whole number, {between}'
        if isinstance(self.default, float):
            return between
        if isinstance(self.default, str):
            return 'text'
        if self._is_pair:
            return f'rows and columns, {between} each'
        return 'a list of texts'

    def check(self, value: Any) -> Any:
        """
        Return a valid value, lists as tuples.

        Raises ValueError with name, value and expectation if it is invalid.
        """
        if not self._accepts(value):
            raise ValueError(f'{self.name}: {value!r}, expected {self.expectation}')
        is_list = isinstance(self.default, tuple) and not isinstance(value, str)
        return tuple(value) if is_list else value

    @property
    def _is_pair(self) -> bool:
        return isinstance(self.default, tuple) and isinstance(self.default[0], int)

    def _accepts(self, value: Any) -> bool:
        if isinstance(self.default, bool):
            return isinstance(value, bool)
        if isinstance(self.default, (int, float)):
            return self._accepts_number(value, type(self.default))
        if isinstance(self.default, str):
            return isinstance(value, str) and (not self.choices or value in self.choices)
        if isinstance(value, str):
            return value in self.choices
        if not isinstance(value, Sequence):
            return False
        if self._is_pair:
            return len(value) == 2 and all(self._accepts_number(item, int) for item in value)
        return all(isinstance(item, str) for item in value)

    def _accepts_number(self, value: Any, kind: type) -> bool:
        if isinstance(value, bool) or not isinstance(value, NUMBERS[kind]):
            return False
        return self.limits is None or bool(self.limits[0] <= value <= self.limits[1])


def parameter(default: T, help: str, *, name: str = '', **properties: Any) -> T:
    """
    Return a dataclass field that defines a parameter.

    name: of the parameter, without the prefix of the group; '': the name of the field.
    properties: further fields of Parameter.
    """
    value = '' if properties.get('is_file') else default
    metadata = {METADATA: Parameter(name, value, help, **properties)}
    return field(default=default, metadata=metadata)


class ParameterGroup:
    """
    Base class of dataclasses whose fields are parameters.

    prefix: of the parameter names. Creating an instance raises ValueError for an invalid value.
    """

    _prefix: ClassVar[str] = ''

    def __init_subclass__(cls, prefix: str = '', **kwargs: Any):
        super().__init_subclass__(**kwargs)
        cls._prefix = prefix

    def __post_init__(self) -> None:
        for attribute, parameter in self._parameters():
            if not parameter.is_file:
                value = parameter.check(getattr(self, attribute))
                object.__setattr__(self, attribute, value)  # frozen

    @classmethod
    def parameters(cls) -> tuple[Parameter, ...]:
        """Return all parameters of the group, in the order of the fields."""
        return tuple(parameter for _, parameter in cls._parameters())

    @classmethod
    def from_values(cls: type[G], values: Values) -> G:
        """Return the group for parameter values. Raises ValueError for an invalid value."""
        return cls(**{attribute: values[p.name] for attribute, p in cls._parameters()})

    @classmethod
    def _parameters(cls) -> Iterator[tuple[str, Parameter]]:
        for each in fields(cls):  # type: ignore[arg-type]  # children are dataclasses
            if METADATA in each.metadata:
                found = each.metadata[METADATA]
                yield each.name, replace(found, name=cls._prefix + (found.name or each.name))
