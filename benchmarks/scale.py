"""Measure what is planned for many rows: `python benchmarks/scale.py SECTION [options]`, `--help` behind each.

A section is a file of `benchmarks/scale/` with `options(parser)` and `run(asked)`.
"""

import argparse
import sys
from importlib import import_module
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

SECTIONS = {
    "heads": "fit-head on made-up rows: time and peak memory",
    "rows": "names, membership and near copies of many rows",
    "ray": "extract on Ray beside plain extract",
    "remote": "extract from object storage beside extract from disk",
    "wrappings": "one data set in every wrapping",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    sections = parser.add_subparsers(dest="section", required=True, metavar="SECTION")
    for name, help_ in SECTIONS.items():
        if (HERE / "scale" / f"{name}.py").exists():
            module = import_module(f"scale.{name}")
            section = sections.add_parser(name, help=help_, description=module.__doc__)
            module.options(section)
            section.set_defaults(run=module.run)
    asked = parser.parse_args()
    asked.run(asked)


if __name__ == "__main__":
    main()
