"""What a kill -9, a full disk or a size limit may cost: unsealed rows, and nothing else."""

import os
import random
import signal
import time

import numpy as np
import pytest

from cache.commands.gc import collect
from cache.commands.verify import verify
from cache.storage.intact import is_intact
from cache.storage.store import Store

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX signals and limits")

SEAL = """
import sys
from pathlib import Path
import numpy as np
from cache.storage.store import Store
store = Store.open(Path(sys.argv[1]))
random = np.random.default_rng()
while True:
    keys = random.integers(0, 256, (3000, 32), dtype=np.uint8)
    print(store.add(keys, np.ones((3000, 100), np.float32)).name, flush=True)
"""


def check(store, confirmed):
    """Every visible shard is whole, and no confirmed one is lost."""
    visible = [path.name for path in store.shard_folder.iterdir() if not path.name.startswith(".tmp-")]
    assert set(confirmed) <= set(visible)
    store = Store.open(store.folder)
    assert [path.name for path in store.paths()] == sorted(visible, reverse=True)
    assert all(is_intact(path) for path in store.paths())
    assert len(store) == 3000 * len(visible)
    assert verify(store) == []


def test_sigkill_at_any_moment(store, child):
    confirmed = []
    chance = random.Random(0)
    for _ in range(6):
        process = child(SEAL, store.folder)
        confirmed.append(process.stdout.readline().strip())
        time.sleep(chance.uniform(0, 0.08))
        process.send_signal(signal.SIGKILL)
        confirmed += process.communicate()[0].split()
        assert process.returncode == -signal.SIGKILL
    assert len(confirmed) >= 6
    check(store, confirmed)


# The calls of one seal: open, half of a write, write, fsync, rename, fsync of the folder.
DIE = """
import os, pathlib, signal, sys
step, left = [], int(sys.argv[2])
def mortal(name, real, before=None):
    def call(*arguments, **options):
        step.append(name)
        if len(step) == left:
            if before:
                before(*arguments)
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **options)
    return call
real_write = os.write
import numpy as np
from cache.storage.store import Store
store = Store.open(pathlib.Path(sys.argv[1]))
keys = np.random.default_rng(7).integers(0, 256, (3000, 32), dtype=np.uint8)
os.write = mortal("write", os.write, lambda handle, data: real_write(handle, data[: len(data) // 2]))
os.fsync = mortal("fsync", os.fsync)
pathlib.Path.replace = mortal("rename", pathlib.Path.replace)
store.add(keys, np.ones((3000, 100), np.float32))
print(",".join(step))
"""


@pytest.mark.parametrize(("step", "visible"), [(1, 1), (2, 1), (3, 1), (4, 2)])
def test_sigkill_at_each_step_of_a_seal(store, child, sample, step, visible):
    confirmed = store.add(*sample(3000, width=100)).name
    process = child(DIE, store.folder, step)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    check(store, [confirmed])
    assert len(store.paths()) == visible
    leftover = list(store.shard_folder.glob(".tmp-*"))
    assert len(leftover) == 2 - visible
    for path in leftover:
        os.utime(path, (0, 0))
    assert collect(store).temporary == len(leftover)


def test_the_steps_above_are_all_there_are(store, child):
    out, err = child(DIE, store.folder, 99).communicate()
    assert out.strip() == "write,fsync,rename,fsync", err


FULL = """
import resource, sys
from pathlib import Path
import numpy as np
from cache.errors import UserError
from cache.storage.store import Store
if len(sys.argv) > 2:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
store = Store.open(Path(sys.argv[1]))
random = np.random.default_rng()
for rows in (100, 200, 400, 800, 1600, 3200, 6400):
    keys = random.integers(0, 256, (rows, 32), dtype=np.uint8)
    try:
        store.add(keys, np.ones((rows, 100), np.float32))
    except UserError as error:
        print(error)
        break
"""


def check_full(store, child, *limit):
    out, err = child(FULL, store.folder, *limit).communicate()
    assert out.startswith("Could not write"), err
    assert "no space left" in out
    assert "What was written before is kept" in out
    names = [path.name for path in store.shard_folder.iterdir()]
    assert len(names) >= 2
    assert all(name.endswith(".h5") for name in names)  # no temporary file either
    assert verify(store) == []
    assert len(store) == 100 * (2 ** len(names) - 1)


def test_file_size_limit(store, child):
    check_full(store, child, 400_000)


def test_full_disk(tiny_disk, space, child):
    store = Store(tiny_disk / space.id, space).create()
    check_full(store, child)
    keys, rows = np.zeros((1, 32), np.uint8), np.ones((1, 100), np.float32)
    for path in store.paths()[1:]:
        path.unlink()
    store.add(keys, rows)  # after freeing space the same store goes on
    assert np.array_equal(store.gather(keys), rows)
