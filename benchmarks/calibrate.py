"""Measure what ships for int8: of each bundled network, on 200 pictures of a folder, drawn with seed 0.

python benchmarks/calibrate.py flowers/
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from cache.workspace import Workspace
from extract.backbones.backbone import Backbone
from extract.backbones.calibration import SHIPPED
from extract.backbones.efficientnet_lite import VARIANTS
from extract.embedding.agreement import CALIBRATED, sample
from extract.engines.conversion import calibrate
from extract.settings import Decoding
from extract.sources.source import open_source


def main(folder: Path) -> None:
    """Write the ranges where the package keeps them."""
    workspace = Workspace(Path(".coldframe-unused"))  # nothing is kept in it
    manifest = open_source(workspace, folder).scan_again(workspace, folder.name, print).manifest
    networks = {}
    for name in VARIANTS:
        backbone = Backbone.of(name, precision="int8")
        pixels = sample(manifest, CALIBRATED, backbone.input_size, Decoding())
        networks[name] = calibrate(backbone, pixels).to_json()
        print(f"{name}: {len(networks[name])} activations on {len(pixels)} pictures")
    about = (
        f"{CALIBRATED} of the {len(manifest):,} pictures of {folder.name}, seed 0 (benchmarks/calibrate.py)"
    )
    lines = [f"  {json.dumps(name)}: {json.dumps(each)}" for name, each in networks.items()]
    SHIPPED.write_text(
        f'{{\n "about": {json.dumps(about)},\n "networks": {{\n' + ",\n".join(lines) + "\n }\n}\n"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
