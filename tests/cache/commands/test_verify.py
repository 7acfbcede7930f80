import shutil

import pytest

from cache.commands.verify import verify
from cache.storage.shard import Shard, seal


def test_all_is_well(store, sample):
    keys, rows = sample(10)
    store.add(keys, rows)
    assert verify(store) == []
    assert store.contains(keys).all()


@pytest.mark.parametrize("where", ["row", "last"])
def test_a_flipped_bit_is_noticed_set_aside_and_kept(store, sample, where):
    keys, rows = sample(20)
    broken = store.add(keys[:10], rows[:10])
    store.add(keys[10:], rows[10:])
    data = bytearray(broken.read_bytes())
    data[Shard(broken, store.space.id)._rows_at if where == "row" else -1] ^= 4
    broken.chmod(0o644)
    broken.write_bytes(data)
    assert len(store) == 20  # nothing shows at opening
    with pytest.warns(UserWarning, match="Damaged shard"):
        damaged = verify(store)
    assert damaged == [store.folder / "damaged" / broken.name]
    assert damaged[0].read_bytes() == data
    assert store.contains(keys).tolist() == [False] * 10 + [True] * 10
    assert verify(store) == []


def test_an_intact_shard_of_another_space_is_set_aside(store, sample, tmp_path):
    stray = seal(tmp_path, "cd" * 32, *sample(3))
    shutil.copy(stray, store.shard_folder)
    with pytest.warns(UserWarning, match="expected space"):
        assert [path.name for path in verify(store)] == [stray.name]


def test_a_name_without_a_hash_is_noticed(store, sample):
    path = store.add(*sample(3))
    path.rename(path.with_name("renamed.h5"))
    with pytest.warns(UserWarning, match=r"Damaged shard renamed\.h5"):
        assert len(verify(store)) == 1
