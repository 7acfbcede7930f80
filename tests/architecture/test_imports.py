"""What may be imported where. The order of the rooms is a contract of import-linter, in pyproject.toml."""

import ast
import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ["cache", "extract", "classify"]
SOURCES = [path for name in PACKAGES for path in sorted((ROOT / name).rglob("*.py"))] + [
    ROOT / "cli.py",
    ROOT / "coldframe.py",
]
HEAVY = {"tensorflow", "keras", "jax", "torch"}
MAY_IMPORT_KERAS = {
    "classify/commands/baseline/network.py",
    "classify/commands/export/formats.py",
    "classify/commands/finetune/activations/view_size.py",
    "classify/commands/finetune/network/batch_norm_folding.py",
    "classify/commands/finetune/network/border.py",
    "classify/commands/finetune/network/step_length.py",
    "classify/commands/finetune/network/top.py",
    "classify/commands/finetune/result.py",
    "classify/models/layers.py",
    "classify/models/model_file.py",
    "classify/models/resizing.py",
    "classify/models/run_model.py",
    "classify/training/callbacks.py",
    "classify/training/loop.py",
    "classify/training/optimizers.py",
    "extract/backbones/efficientnet_lite.py",
    "extract/backbones/external/graph.py",
    "extract/backbones/external/hub_preset.py",
    "extract/backbones/external/keras_file.py",
    "extract/backbones/external/saved_model.py",
    "extract/backbones/network.py",
    "extract/backbones/normalisation.py",
    "extract/backbones/stages.py",
    "extract/backbones/preprocessing.py",
    "extract/engines/conversion.py",
    "extract/engines/cutting.py",
    "extract/engines/engine.py",
    "extract/engines/folding.py",
    "extract/machine.py",
}


def imported(path: Path, *, typing: bool = True, late: bool = True) -> set[str]:
    """Name the top packages a file imports; without `typing` those that are imported when it runs.

    Without `late`, functions are left out: what they import waits until they are called.
    """
    return found(ast.parse(path.read_text()), path, typing, late)


def found(tree: ast.AST, path: Path, typing: bool, late: bool) -> set[str]:
    names = set()
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: line {node.lineno} imports relatively"
            names.add((node.module or "").split(".")[0])
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING" and not typing:
            names |= found(ast.Module(node.orelse, []), path, typing, late)
        elif late or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            names |= found(node, path, typing, late)
    return names


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
    assert imported(path, typing=False, late=False) == {"a", "b"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_one_file_below_classify_knows_scikit_learn(path: Path) -> None:
    # A transformer has to inherit from it; nothing else down there needs it, and it takes long to import.
    name = path.relative_to(ROOT).as_posix()
    if name.startswith(("cache/", "extract/")):
        assert (name == "extract/notebook/image_embedder.py") == ("sklearn" in imported(path))
        assert "matplotlib" not in imported(path)


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_one_room_knows_ray(path: Path) -> None:
    # Late: a command without --ray must not pay for it, nor need it.
    if path.parent != ROOT / "extract" / "embedding" / "cluster":
        assert "ray" not in imported(path)
    assert "ray" not in imported(path, late=False)


def test_one_file_knows_a_tracker() -> None:
    # Nothing that trains may send figures anywhere; `publish` does, where it is asked to.
    knowing = [path for path in SOURCES if "mlflow" in imported(path)]
    assert knowing == [ROOT / "classify/commands/publish/places.py"]
    assert "mlflow" not in imported(knowing[0], late=False)


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_pandas_waits_until_a_table_is_made(path: Path) -> None:
    assert "pandas" not in imported(path, typing=False, late=False)


@pytest.mark.parametrize(
    "path",
    [path for path in SOURCES if path.name == "__init__.py"],
    ids=lambda p: p.relative_to(ROOT).as_posix(),
)
def test_package_files_are_docstrings_only(path: Path) -> None:
    # A face that handed names on would load scikit-learn or Keras with any file of its room.
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree) and (len(tree.body) == 1 or path == ROOT / "extract" / "__init__.py")


def test_the_rooms_keep_their_contracts() -> None:
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


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
    for name in [*PACKAGES, "cli", "coldframe"]:
        assert set(owners.get(name, ["coldframe"])) == {"coldframe"}


def test_help_is_instant_and_light() -> None:
    code = (
        "import sys, cli\n"
        "for command in ('', *cli.COMMANDS): assert cli.main([*command.split(), '--help']) == 0\n"
        "heavy = {'numpy', 'h5py', 'PIL', 'tqdm', 'sklearn', 'pandas', 'tensorflow', 'matplotlib'}\n"
        "print(sorted(set(sys.modules) & heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")
