"""
Parameters as dataclass fields, each with its default, range, unit and help text.

A dataclass that inherits from ParameterGroup defines parameters beside the code that uses them and
checks their values when it is created. ROS declarations, `extract`, config/*.yaml and docs are
made from these definitions. To find that of `detector.nms_radius`, search for `nms_radius: int`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from numbers import Integral, Real
from typing import Any, ClassVar, Protocol, TypeVar

METADATA = 'parameter'  # key in the metadata of a dataclass field
NUMBERS: dict[type, Any] = {int: Integral, float: Real}  # including NumPy's
# Words that YAML 1.1, which ROS reads, takes for booleans, in any case.
TRUE, FALSE = ('true', 'yes', 'on', 'y'), ('false', 'no', 'off', 'n')
NUMBER = re.compile(r'[-+]?[0-9.]+([eE][-+]?[0-9]+)?')
NULLS = (None, '~', 'null')  # no value in YAML; ROS reads the words as texts, [] as no value
RESEMBLANCE = 0.75  # least similarity of a name to the one that is probably meant, 0 to 1

T = TypeVar('T')
G = TypeVar('G', bound='ParameterGroup')


def boolean_of(value: Any) -> bool | None:
    """Return the boolean that a value or a word in TRUE or FALSE means, else None."""
    if isinstance(value, str):
        word = value.lower()
        return True if word in TRUE else False if word in FALSE else None
    return value if isinstance(value, bool) else None


def nearest_name(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that resembles `name` most, with or without its group, if any does."""
    forms: dict[str, str] = {}
    for full in known:
        forms.setdefault(full.lower(), full)
        forms.setdefault(full.lower().rpartition('.')[2], full)
    close = get_close_matches(name.lower(), forms, n=1, cutoff=RESEMBLANCE)
    return forms[close[0]] if close else None


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


class Values(Protocol):
    """Parameter values by name, such as a dict."""

    def __getitem__(self, name: str, /) -> Any:
        """Return the value of a parameter."""
        ...


def short_repr(value: object) -> str:
    """Return repr(value), cut to 80 characters: values come from strangers, too."""
    text = repr(value)
    return text if len(text) <= 80 else f'{text[:77]}...'


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
        Return a valid value with the type of the default, lists as tuples.

        Valid are also integers for a float, the words of YAML's booleans for a bool, and its
        booleans for a choice such as 'off'. Its null and an empty list mean the default.
        Raises ValueError with name, value, expectation and remedy if the value is invalid.
        """
        if value in NULLS or (_is_list(value) and len(value) == 0):
            return self.default
        valid = self._converted(value)
        if valid is None:
            raise ValueError(
                f'{self.name}: {short_repr(value)}, expected {self.expectation}'
                f'{self._remedy(value)}'
            )
        return valid

    @property
    def _is_pair(self) -> bool:
        return isinstance(self.default, tuple) and isinstance(self.default[0], int)

    def _converted(self, value: Any) -> Any:
        """Return the value with the type of the default; None if it is invalid."""
        if isinstance(self.default, bool):
            return boolean_of(value)
        if isinstance(self.default, (int, float)):
            return self._number(value, type(self.default))
        if isinstance(self.default, tuple) and not isinstance(value, str):
            return self._items(value)
        if self.choices:
            return self._choice(value)
        if isinstance(self.default, str):
            return value if isinstance(value, str) else None
        return None

    def _number(self, value: Any, kind: type) -> Any:
        if isinstance(value, bool) or not isinstance(value, NUMBERS[kind]):
            return None
        if self.limits is not None and not self.limits[0] <= value <= self.limits[1]:
            return None
        try:
            return kind(value)
        except OverflowError:  # an integer too large for a float
            return None

    def _items(self, value: Any) -> tuple | None:
        if not _is_list(value):
            return None
        if not self._is_pair:
            return tuple(value) if all(isinstance(item, str) for item in value) else None
        numbers = tuple(self._number(item, int) for item in value)
        return numbers if len(numbers) == 2 and None not in numbers else None

    def _choice(self, value: Any) -> str | None:
        meant = boolean_of(value)
        for choice in self.choices:
            if value == choice or (meant is not None and boolean_of(choice) is meant):
                return choice
        return None

    def _remedy(self, value: Any) -> str:
        """Advice for a value that only YAML's syntax made invalid; '' for any other."""
        is_list = isinstance(self.default, tuple)
        if self._is_pair or self.choices or isinstance(self.default, bool):
            return ''
        if isinstance(value, str) and is_list:
            return f'; a single one also in brackets: [{short_repr(value)}]'
        if isinstance(self.default, (int, float)):
            return '; remove the quotes' if self._is_quoted(value) else ''
        items = value if is_list and _is_list(value) else [value]
        is_number = isinstance(value, (int, float)) and not is_list
        if is_number or any(isinstance(item, bool) for item in items):
            return '; put it in quotes, YAML reads it as something else'
        return ''

    def _is_quoted(self, value: Any) -> bool:
        """Return whether a text is a valid number."""
        if not isinstance(value, str) or not NUMBER.fullmatch(value):
            return False
        try:
            number = type(self.default)(value)
        except ValueError:
            return False
        return math.isfinite(number) and self._converted(number) is not None


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
