"""Leases: one process at a time writes into a store on a URL, and who lost it stops."""

import json
import threading
import time

import pytest
from s3_servers import BUCKET, s3_server
from small_runs import explained

from napari_smoothsal import open_run
from napari_smoothsal.core.errors import StoreError
from napari_smoothsal.runs import lease
from napari_smoothsal.runs.lease import Holder, holder_of, lease_of, leased
from napari_smoothsal.runs.places import place_of
from napari_smoothsal.runs.remote_store import RemoteStore
from napari_smoothsal.runs.stitched import Piece
from napari_smoothsal.runs.writer_lock import only_writer


@pytest.fixture(scope="module")
def server():
    with s3_server() as address:
        yield address


@pytest.fixture(params=["s3", "memory"])
def place(server, request):
    name = request.node.name
    return place_of(
        f"s3://{BUCKET}/{name}/a.zarr" if request.param == "s3" else f"memory://{name}/a.zarr"
    )


@pytest.fixture
def short(monkeypatch):
    """Leases that are renewed every 0.5 s and end after 3; servers tell whole seconds."""
    for name, seconds in (("RENEWED_S", 0.5), ("SURE_S", 1.5), ("LOST_S", 3.0)):
        monkeypatch.setattr(lease, name, seconds)


def other(place, number: int = 1, **known):
    """A lease that a process of another computer holds."""
    file = place.with_name(f".{place.name}.writer") / f"{number:08d}"
    said = {"pid": 7, "host": "elsewhere", "numbered": "", "token": "x"} | known
    file.fs.pipe_file(file.path, json.dumps(said).encode())
    return file


def left_of(place) -> list[str]:
    return [one for one in place.fs.find(place.parent.path) if "writer" in one or "asked" in one]


def test_a_second_writer_is_refused_and_told_who_the_first_is(place) -> None:
    other(place)
    with (
        pytest.raises(StoreError, match=r"process 7 on elsewhere is writing into 'a\.zarr'"),
        leased(place),
    ):
        pass
    assert holder_of(place) == Holder(7, "elsewhere", "", "x")
    assert len(left_of(place)) == 1


def test_the_same_process_holds_it_once(place) -> None:
    with only_writer(place):
        assert lease_of(place) is not None
        with pytest.raises(StoreError, match="is writing into"), only_writer(place):
            pass
        assert lease_of(place) is not None
    assert lease_of(place) is None and not left_of(place)


def test_it_lasts_while_its_process_lives(place, short) -> None:
    with leased(place):
        for _ in range(3):
            time.sleep(1.5)
            with pytest.raises(StoreError, match="is writing into"), leased(place):
                pass
        assert not lease_of(place).in_doubt


def test_one_that_comes_first_in_between_keeps_it(place, monkeypatch) -> None:
    monkeypatch.setattr(lease, "_check_stale", lambda *_: other(place))
    with pytest.raises(StoreError, match="process 7 on elsewhere"), leased(place):
        pass
    assert holder_of(place) == Holder(7, "elsewhere", "", "x")


def test_one_that_is_not_renewed_is_taken_over(place, short) -> None:
    other(place, 4)
    time.sleep(2)
    with pytest.raises(StoreError, match="process 7 on elsewhere"), leased(place):
        pass
    time.sleep(2.5)
    with leased(place):
        assert [one.rpartition("/")[2] for one in left_of(place)] == ["00000005"]
    assert not left_of(place)


def test_one_that_awakes_while_it_is_taken_over_keeps_it(place, short, monkeypatch) -> None:
    sleeper, put = other(place), place.fs.pipe_file
    time.sleep(4)

    def late(path, content, **options):
        if options:
            put(sleeper.path, place.fs.cat_file(sleeper.path))
        put(path, content, **options)

    monkeypatch.setattr(place.fs, "pipe_file", late)
    with pytest.raises(StoreError, match="process 7 on elsewhere"), leased(place):
        pass
    assert [one.rpartition("/")[2] for one in left_of(place)] == ["00000001"]


def test_whose_process_is_gone_needs_no_waiting(place) -> None:
    other(place, pid=2**22 + 1, numbered=lease._numbering())
    with leased(place):
        pass
    other(place, pid=2**22 + 1, numbered="of another container")
    with pytest.raises(StoreError, match="is writing into"), leased(place):
        pass


def test_an_answer_that_was_lost_does_not_refuse_its_own_process(place, monkeypatch) -> None:
    put = place.fs.pipe_file

    def unheard(path, content, **options):
        put(path, content, **options)
        if options:
            put(path, content, **options)  # as a library tries again

    monkeypatch.setattr(place.fs, "pipe_file", unheard)
    with leased(place):
        lease_of(place).check()


@pytest.mark.parametrize("stale", [False, True])
def test_of_many_that_come_at_once_one_at_most_holds_it(place, stale, short) -> None:
    for _ in range(3):
        if stale:
            other(place)
            time.sleep(4)
        barrier, holding, most, refused = threading.Barrier(6), [], [], []

        def come(barrier=barrier, holding=holding, most=most, refused=refused) -> None:
            barrier.wait()
            try:
                taken = lease._taken(place)
            except StoreError:
                refused.append(1)
                return
            holding.append(1)
            time.sleep(0.2)
            most.append(len(holding))
            holding.pop()
            taken.give_back()

        threads = [threading.Thread(target=come) for _ in range(6)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        assert not most or max(most) == 1
        assert len(most) + len(refused) == 6
        for file in left_of(place):
            place.fs.rm_file(file)


def test_a_holder_that_slept_finds_out_before_its_next_write(place, short) -> None:
    with leased(place):
        held = lease_of(place)
        held._renewed = (held._renewed[0] - 100, held._renewed[1] - 100)
        other(place, 2)
        store = RemoteStore.at(place)
        with pytest.raises(StoreError, match="was taken over by process 7 on elsewhere"):
            store.settle()
        from zarr.core.buffer.cpu import Buffer
        from zarr.core.sync import sync

        with pytest.raises(StoreError, match="was taken over"):
            sync(store.set("key", Buffer.from_bytes(b"late")))
    assert [one.rpartition("/")[2] for one in left_of(place)] == ["00000002"]
    assert not place.fs.exists(f"{place.path}/key")


def test_one_whose_successor_has_come_and_gone_has_lost_it_too(place, short) -> None:
    with leased(place):
        held = lease_of(place)
        held._renewed = (held._renewed[0] - 100, held._renewed[1] - 100)
        for file in left_of(place):
            place.fs.rm_file(file)
        with pytest.raises(StoreError, match="was taken over by another process"):
            held.check()
    assert not left_of(place)


def test_no_request_is_made_while_it_was_renewed_not_long_ago(place, monkeypatch) -> None:
    with leased(place):
        held = lease_of(place)
        monkeypatch.setattr(held, "renew", lambda: pytest.fail("asked"))
        for _ in range(1000):
            held.check()


def test_a_run_that_lost_its_store_leaves_it_to_the_other(
    place, noisy, classifier, monkeypatch
) -> None:
    written = Piece.write
    pieces = []

    def slept(piece, root) -> None:
        pieces.append(piece)
        if len(pieces) == 3:
            held = lease_of(place)
            other(place, 2)
            held._renewed = (held._renewed[0] - 100, held._renewed[1] - 100)
        written(piece, root)

    monkeypatch.setattr(Piece, "write", slept)
    with pytest.raises(StoreError, match="was taken over by process 7 on elsewhere"):
        explained(noisy, classifier, str(place))
    # Not "failed": it is the other one's to say.
    assert open_run(place).status == "running"
    assert len(pieces) == 3
