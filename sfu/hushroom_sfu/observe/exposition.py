"""The text that Prometheus reads, format version 0.0.4."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

__all__ = ["CONTENT_TYPE", "Counter", "Family", "Gauge", "exposition"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Family:
    """A metric with one value, or one for each value of a label."""

    name: str
    help: str
    values: float | Mapping[str, float]
    label: str = ""

    kind = "untyped"


class Gauge(Family):
    """Goes up and down."""

    kind = "gauge"


class Counter(Family):
    """Only rises; its name ends in _total."""

    kind = "counter"


def exposition(families: Iterable[Family]) -> str:
    """All metrics as text."""
    lines: list[str] = []
    for family in families:
        lines += [f"# HELP {family.name} {family.help}", f"# TYPE {family.name} {family.kind}"]
        if isinstance(family.values, Mapping):
            lines += [
                f'{family.name}{{{family.label}="{_escaped(label)}"}} {value:.17g}'
                for label, value in sorted(family.values.items())
            ]
        else:
            lines.append(f"{family.name} {family.values:.17g}")
    return "\n".join(lines) + "\n"


def _escaped(label: str) -> str:
    return label.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
