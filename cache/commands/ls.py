"""What a workspace holds, for people and scripts."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cache.commands.options import ListOptions
from cache.text import table, terminal_width
from cache.workspace import Workspace

SPARE = ("resampling", "shards", "dtype", "view", "input_size")  # columns that a narrow terminal does without


def list_workspace(workspace: Workspace) -> dict[str, list[dict[str, Any]]]:
    """List data sets and spaces, each as plain dictionaries; sizes in megabytes of 10^6 bytes."""
    state = workspace.state()
    datasets = []
    for name in workspace.datasets():
        outline = workspace.outline(name)
        datasets.append(
            {
                "dataset": name,
                "pictures": outline.pictures,
                "classes": outline.classes,
                "root": outline.root,
                "current": name == state.get("dataset"),
            }
        )
    spaces, current = [], (state.get("space") or "").split(",")
    for store in workspace.spaces():
        shards = store.shards()
        spaces.append(
            {
                "space": store.space.id[:12],
                "backbone": store.space.backbone,
                "input_size": store.space.input_size,
                "layer": store.space.layout,
                "precision": store.space.precision,
                "resampling": store.space.resampling,
                "view": store.space.view,
                "dtype": store.space.dtype,
                "rows": sum(map(len, shards)),
                "shards": len(shards),
                "megabytes": round(sum(shard.nbytes for shard in shards) / 1e6, 1),
                "current": store.space.id in current,
            }
        )
    return {"datasets": datasets, "spaces": spaces}


@dataclass(frozen=True)
class Listing:
    """Tables by title, each a list of rows with the same keys."""

    tables: dict[str, list[dict[str, Any]]]

    def to_json(self) -> dict[str, list[dict[str, Any]]]:
        """The tables as they are."""
        return self.tables

    def to_text(self) -> str:
        """The tables that have rows, under their titles."""
        width = terminal_width()
        tables = [
            f"{title}\n{table(rows, width=width, spare=[name for name in SPARE if name in rows[0]])}"
            for title, rows in self.tables.items()
            if rows
        ]
        return "\n\n".join(tables) or "nothing here yet: run `python cli.py extract FOLDER/`"


def run(options: ListOptions, say: Callable[[str], None]) -> Listing:
    """Answer the command line."""
    return Listing(list_workspace(Workspace.locate(options.workspace)))
