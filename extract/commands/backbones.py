"""`backbones`: the backbones there are, and what else can be one."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cache.text import table, terminal_width
from extract.backbones.external.kinds import KINDS
from extract.backbones.families import FAMILIES, weights_state
from extract.commands.options import BackbonesOptions


@dataclass(frozen=True)
class Backbones:
    """One row a backbone."""

    rows: list[dict[str, Any]]

    def to_json(self) -> list[dict[str, Any]]:
        """The rows as they are."""
        return self.rows

    def to_text(self) -> str:
        """A table, and examples of the other kinds."""
        rows = table(self.rows, width=terminal_width(), spare=("parameters", "stages", "dim"))
        others = ", ".join(kind.example for kind in KINDS.values())
        return f"{rows}\n\nand models of your own or from elsewhere: {others}; see the guide"


def run(options: BackbonesOptions, say: Callable[[str], None]) -> Backbones:
    """Answer the command line."""
    rows = []
    for name, family in FAMILIES.items():
        source, here = weights_state(name)
        widths = {"dim": family.dim, "stages": family.staged}
        facts = {"input_size": family.input_size, **widths, "parameters": family.parameters}
        rows.append({"name": name} | facts | {"weights": source, "here": here})
    return Backbones(rows)
