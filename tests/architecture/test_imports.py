"""The one-way rule and the import budget of DESIGN: cli -> classify -> extract -> cache."""

import ast
import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ORDER = ["cache", "extract", "classify", "cli"]
SOURCES = [path for name in ORDER[:-1] for path in sorted((ROOT / name).rglob("*.py"))] + [ROOT / "cli.py"]
HEAVY = {"tensorflow", "keras", "jax", "torch"}
MAY_IMPORT_KERAS = {
    "extract/convert.py",
    "extract/efficientnet_lite.py",
    "extract/embedder.py",
    "extract/engines.py",
    "extract/preprocessing.py",
}


def imported(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: line {node.lineno} imports relatively"
            names.add((node.module or "").split(".")[0])
    return names


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_imports_point_one_way(path: Path) -> None:
    own = path.relative_to(ROOT).parts[0].removesuffix(".py")
    later = set(ORDER[ORDER.index(own) + 1 :])
    assert not imported(path) & later


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_few_files_know_keras(path: Path) -> None:
    name = path.relative_to(ROOT).as_posix()
    assert name in MAY_IMPORT_KERAS or not imported(path) & HEAVY


@pytest.mark.parametrize("package", ORDER[:-1])
def test_package_files_are_docstrings_only(package: str) -> None:
    tree = ast.parse((ROOT / package / "__init__.py").read_text())
    assert ast.get_docstring(tree) and len(tree.body) == 1


def test_no_other_distribution_owns_our_names() -> None:
    owners = importlib.metadata.packages_distributions()
    for name in ORDER:
        assert set(owners.get(name, ["coldframe"])) == {"coldframe"}


def test_help_is_instant_and_light() -> None:
    code = (
        "import sys, runpy; sys.argv = ['cli.py', '--help']\n"
        "try: runpy.run_path('cli.py', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "print(sorted(set(sys.modules) & {'numpy', 'h5py', 'PIL', 'tqdm', 'sklearn', 'pandas', 'tensorflow'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")
