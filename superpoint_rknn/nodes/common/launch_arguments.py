"""Parse launch arguments; needs neither ROS nor launch."""

from __future__ import annotations

TRUE, FALSE = ('true', '1', 'yes'), ('false', '0', 'no')


def boolean(name: str, word: str) -> bool:
    """Parse the boolean launch argument `name`. Raises ValueError unless it is a TRUE or FALSE."""
    if word.lower() in TRUE:
        return True
    if word.lower() in FALSE:
        return False
    raise ValueError(f'{name}:={word}: expected one of {", ".join((*TRUE, *FALSE))}, in any case')
