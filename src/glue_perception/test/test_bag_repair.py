"""A bag that was cut off at any byte is finished in place; nothing that was written is dropped in silence."""

import shutil

import pytest
from episodes import Episode
from mcap.reader import make_reader

from glue_perception.bags import metadata_yaml
from glue_perception.bags.mcap_file import McapFile
from glue_perception.bags.reader import BagReader
from glue_perception.bags.repair import is_being_recorded, repair_bag
from glue_perception.bags.writer import BagWriter
from glue_perception.errors import BagError


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Sixty frames over two seconds: several chunks of both kinds."""
    path = tmp_path_factory.mktemp("whole") / "bag"
    Episode(frames=60).write(path, {"task": "push_button"})
    return path


def cut(whole, path, size):
    path.mkdir()
    data = (whole / "bag_0.mcap").read_bytes()
    (path / "bag_0.mcap").write_bytes(data[:size])
    return path


def raw(path):
    """All that stands in the file, as it stands there."""
    with McapFile(path / "bag_0.mcap") as file:
        return [
            (m.log_ns, m.sequence, m.channel_id, bytes(m.data)) for m in file.messages(set(file.channels))
        ]


def test_cut_at_any_place_it_reads_as_before_the_repair(whole, tmp_path):
    size = (whole / "bag_0.mcap").stat().st_size
    seen = set()
    for k, end in enumerate([*range(700, size, size // 45), size - 1, size - 9, size - 200]):
        path = cut(whole, tmp_path / f"cut_{k}", end)
        before = raw(path)
        repair = repair_bag(path)
        assert raw(path) == before
        assert repair.messages == len(before)
        seen.add(repair.messages)
        kept = (path / repair.cut_file).stat().st_size if repair.cut_file else 0
        assert kept == repair.cut_bytes
        with BagReader(path) as bag:  # warnings are errors: it is finished now
            assert bag.metadata["task"] == "push_button"
            assert bag.metadata["outcome"] == "unfinished"
        with McapFile(path / "bag_0.mcap") as file:
            assert file.complete
        with (path / "bag_0.mcap").open("rb") as file:  # the format's own reader, which trusts the summary
            assert len(list(make_reader(file, validate_crcs=True).iter_messages())) == repair.messages
        assert repair_bag(path) is None
    assert len(seen) > 8


def test_every_byte_of_the_cut_file_is_still_there(whole, tmp_path):
    data = (whole / "bag_0.mcap").read_bytes()
    path = cut(whole, tmp_path / "cut", len(data) * 2 // 3)
    repair = repair_bag(path)
    assert repair.cut_bytes > 0
    tail = (path / repair.cut_file).read_bytes()
    start = len(data) * 2 // 3 - repair.cut_bytes
    assert tail == data[start : start + repair.cut_bytes]
    assert (path / "bag_0.mcap").read_bytes()[:start] == data[:start]


def test_a_repair_that_was_killed_is_done_again(whole, tmp_path):
    data = (whole / "bag_0.mcap").read_bytes()
    path = cut(whole, tmp_path / "cut", len(data) // 2)
    repair = repair_bag(path)
    repaired = (path / "bag_0.mcap").read_bytes()
    for left in (20, 400, 1500):
        again = tmp_path / f"again_{left}"
        shutil.copytree(path, again)
        (again / metadata_yaml.FILE_NAME).unlink()
        (again / "bag_0.mcap").write_bytes(repaired[:-left])
        assert repair_bag(again).messages == repair.messages


def test_what_cannot_be_repaired_is_left_as_it_is(whole, tmp_path):
    empty = cut(whole, tmp_path / "empty", 0)
    with pytest.raises(BagError, match="before its first record"):
        repair_bag(empty)
    foreign = cut(whole, tmp_path / "foreign", 5000)
    data = (foreign / "bag_0.mcap").read_bytes().replace(b"\x04\x00\x00\x00glue", b"\x04\x00\x00\x00xlue", 1)
    (foreign / "bag_0.mcap").write_bytes(data)
    with pytest.raises(BagError, match="another program"):
        repair_bag(foreign)
    assert (foreign / "bag_0.mcap").read_bytes() == data
    with pytest.raises(BagError, match=r"0 \.mcap files"):
        repair_bag(tmp_path)


def test_a_bag_that_is_being_recorded_is_left_alone(tmp_path):
    writer = BagWriter(tmp_path / "bag", {})
    assert is_being_recorded(tmp_path / "bag")
    with pytest.raises(BagError, match="being recorded now"):
        repair_bag(tmp_path / "bag")
    writer.close()
    assert not is_being_recorded(tmp_path / "bag")
    assert repair_bag(tmp_path / "bag") is None


def test_metadata_can_be_changed_afterwards(whole, tmp_path):
    path = tmp_path / "bag"
    shutil.copytree(whole, path)
    metadata_yaml.update_custom_data(path, {"outcome": "failure", "operator": "Ada"})
    with BagReader(path) as bag:
        assert (bag.metadata["outcome"], bag.metadata["operator"]) == ("failure", "Ada")
        assert bag.metadata["task"] == "push_button"
        assert len(list(bag.frames())) == 60
    (path / metadata_yaml.FILE_NAME).unlink()
    with pytest.raises(BagError, match="repair it first"):
        metadata_yaml.update_custom_data(path, {"outcome": "success"})
