def test_cache_imports_numpy_and_h5py_only(child):
    """A warm command must not pay for libraries it does not use."""
    code = """
import sys
import cache.workspace, cache.commands.verify, cache.commands.gc, cache.commands.export
heavy = {"pandas", "sklearn", "scipy", "tensorflow", "keras", "matplotlib", "PIL", "extract", "classify"}
print(sorted(heavy & sys.modules.keys()), "h5py" in sys.modules)
"""
    assert child(code).communicate()[0].strip() == "[] True"
