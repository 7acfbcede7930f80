"""The page of a map."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cache.manifest import Manifest
from cache.text import last_name
from classify.commands.map.result import Map
from classify.commands.map.sprites import Sheet
from classify.report.html.environment import render

_STEPS = 8192  # of the longer side of the map, in whole numbers


def page(made: Map, manifest: Manifest, where: NDArray[np.float64], sheet: Sheet | None) -> str:
    """Write the map of n pictures, `where` (n, 2), as HTML."""
    low, high = where.min(axis=0), where.max(axis=0)
    steps = np.rint((where - low) / max(float((high - low).max()), 1e-12) * _STEPS).astype(int)
    probability = made.facts.probability
    permille = None if probability is None else np.rint(np.nan_to_num(1000 * probability, nan=-1)).astype(int)
    data = {
        "dataset": made.dataset,
        "paths": list(manifest.paths),
        "x": steps[:, 0].tolist(),
        "y": (steps[:, 1].max() - steps[:, 1]).tolist(),  # upwards, as in a plot
        "facts": [
            {"name": fact.name, "title": fact.title, "values": list(fact.values), "code": fact.code.tolist()}
            for fact in made.facts.facts
        ],
        "permille": None if permille is None else permille.tolist(),
        "sheet": {"side": sheet.side, "columns": sheet.columns} if sheet else None,
    }
    return render("map.html.j2", made=made, source=last_name(manifest.root), data=data, sheet=sheet)
