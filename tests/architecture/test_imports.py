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
    "classify/models/layers.py",
    "classify/commands/baseline/network.py",
    "classify/models/run_model.py",
    "classify/commands/finetune/network/batch_norm_folding.py",
    "classify/training/optimizers.py",
    "classify/commands/finetune/result.py",
    "classify/commands/finetune/network/top.py",
    "classify/training/loop.py",
    "classify/commands/export/formats.py",
    "classify/models/resizing.py",
    "classify/commands/finetune/network/border.py",
    "extract/engines/conversion.py",
    "extract/backbones/efficientnet_lite.py",
    "extract/backbones/network.py",
    "extract/engines/engine.py",
    "extract/backbones/external/graph.py",
    "extract/backbones/external/hub_preset.py",
    "extract/backbones/external/keras_file.py",
    "extract/backbones/preprocessing.py",
    "extract/machine.py",
    "extract/backbones/external/saved_model.py",
}


def imported(path: Path, *, typing: bool = True) -> set[str]:
    """Name the top packages a file imports; without `typing` those that are imported when it runs."""
    return found(ast.parse(path.read_text()), path, typing)


def found(tree: ast.AST, path: Path, typing: bool) -> set[str]:
    names = set()
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: line {node.lineno} imports relatively"
            names.add((node.module or "").split(".")[0])
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING" and not typing:
            names |= found(ast.Module(node.orelse, []), path, typing)
        else:
            names |= found(node, path, typing)
    return names


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_imports_point_one_way(path: Path) -> None:
    own = path.relative_to(ROOT).parts[0].removesuffix(".py")
    later = set(ORDER[ORDER.index(own) + 1 :])
    assert not imported(path) & later


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_few_files_know_keras(path: Path) -> None:
    name = path.relative_to(ROOT).as_posix()
    assert (name in MAY_IMPORT_KERAS) == bool(imported(path, typing=False) & HEAVY)


def test_imports_for_types_alone_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(
        "import a\nif TYPE_CHECKING:\n    import keras\nelse:\n    import b\nif X:\n    def f():\n        import c.d\n"
    )
    assert imported(path) == {"a", "b", "c", "keras"}
    assert imported(path, typing=False) == {"a", "b", "c"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_one_file_below_classify_knows_scikit_learn(path: Path) -> None:
    # A transformer has to inherit from it; nothing else down there needs it, and it takes long to import.
    name = path.relative_to(ROOT).as_posix()
    if name.startswith(("cache/", "extract/")):
        assert (name == "extract/notebook/image_embedder.py") == ("sklearn" in imported(path))
        assert not imported(path) & {"pandas", "matplotlib"}


@pytest.mark.parametrize("package", ["cache", "classify"])
def test_package_files_are_docstrings_only(package: str) -> None:
    tree = ast.parse((ROOT / package / "__init__.py").read_text())
    assert ast.get_docstring(tree) and len(tree.body) == 1


def test_extract_gives_notebooks_their_names_when_asked() -> None:
    # `from extract import ImageEmbedder` is what people write; commands that import the package must not pay for it.
    code = (
        "import sys, extract\n"
        "heavy = {'sklearn', 'tensorflow', 'keras', 'matplotlib', 'numpy', 'PIL'}\n"
        "light = not set(sys.modules) & heavy\n"
        "from extract import ImageEmbedder, add_arrays\n"
        "assert extract.ImageEmbedder is ImageEmbedder and not hasattr(extract, 'nothing')\n"
        "print(light, 'sklearn' in sys.modules, sorted(set(sys.modules) & {'tensorflow', 'keras', 'matplotlib'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True", "[]"]


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
