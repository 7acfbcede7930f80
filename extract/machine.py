"""What this machine has: cores and a GPU; and Keras, started quietly."""

import contextlib
import logging
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path


def import_keras_quietly() -> None:
    """Import Keras and its backend before anything else does, without what they print while they start."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if platform.machine() in ("x86_64", "AMD64"):  # by itself TensorFlow does so only where there is VNNI
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it wonders at batches of two sizes
    with quiet_stderr():
        import keras  # noqa: F401


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Hide what LiteRT's and TensorFlow's C++ sides print while they start; there is no setting for it."""
    sys.stderr.flush()
    saved, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)


def gpu_seen() -> bool:
    """Tell whether an NVIDIA GPU is there, without importing anything heavy."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    return not hidden and any(Path("/dev").glob("nvidia[0-9]*"))


def usable_cores() -> int:
    """Count the CPU cores this process may use: those of its affinity, a container's quota, LOKY_MAX_CPU_COUNT."""
    from joblib import cpu_count  # 0.1 s to import: ask only where there is work for them

    return cpu_count()


def memory() -> int:
    """Count the bytes of memory this process may use: the machine's, or fewer where its control group has a limit."""
    found = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for file in _memory_limits():
        with contextlib.suppress(OSError, ValueError):  # none, or "max"
            found.append(int(file.read_text()))
    return min(found)


def _memory_limits() -> Iterator[Path]:
    """Where this process's control groups, and those they are in, say their limit; in version 1 and in 2."""
    try:
        groups = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    except OSError:
        return
    for _, controllers, path in groups:
        for folder in (Path(path), *Path(path).parents):
            inner = str(folder).lstrip("/")
            if not controllers:
                yield Path("/sys/fs/cgroup", inner, "memory.max")
            elif controllers == "memory":
                yield Path("/sys/fs/cgroup/memory", inner, "memory.limit_in_bytes")
