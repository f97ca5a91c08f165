"""Several processes that evaluate: whichever of them dies, nothing is lost, done twice in the answer, or waited for."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from codesign_toy import Formula, toy_space
from processes import cluster, gone
from worker_jobs import deadly, faulty, priced, refused, square, together

from h3c.compiler.codesigning.archive import Archive, Context, Price
from h3c.compiler.codesigning.archived import Archived
from h3c.compiler.codesigning.workers import DaskCluster, Failed, LocalProcesses, engine_of
from h3c.runtime_sim.errors import InputError

ITEMS = list(range(24))


def results_with_a_kill(engine: Any) -> dict[int, int]:
    """All squares; the process that made the fifth result is killed as soon as it is known."""
    found: dict[int, int] = {}
    for item, result in engine.results(square, ITEMS):
        assert not isinstance(result, Failed), result
        assert item not in found
        found[item] = result[0]
        if len(found) == 5:
            os.kill(result[1], signal.SIGKILL)
    return found


def test_a_killed_process_loses_nothing() -> None:
    with LocalProcesses(3) as engine:
        assert results_with_a_kill(engine) == {item: item * item for item in ITEMS}
        assert results_with_a_kill(engine) == {item: item * item for item in ITEMS}  # it goes on afterwards


def test_an_item_that_kills_is_told_and_takes_no_other_along() -> None:
    with LocalProcesses(3) as engine:
        found = dict(engine.results(deadly, ITEMS[:12]))
    failed = found.pop(5)
    assert isinstance(failed, Failed)
    assert "died" in failed.reason
    assert found == {item: item for item in ITEMS[:12] if item != 5}


def test_an_error_is_told_in_one_line_and_the_others_go_on() -> None:
    with LocalProcesses(2) as engine:
        found = dict(engine.results(faulty, ITEMS[:9]))
    assert found.pop(7) == Failed("ValueError: no 7 for you")
    assert found.pop(0) == Failed("ValueError: no 0 for you")
    assert found == {item: item for item in (1, 2, 3, 4, 5, 6, 8)}


def test_an_error_that_concerns_all_ends_it() -> None:
    with LocalProcesses(2) as engine, pytest.raises(InputError, match="no such world"):
        list(engine.results(refused, ITEMS))


def test_work_is_done_by_as_many_processes_as_asked_for(tmp_path: Path) -> None:
    with LocalProcesses(3) as engine:
        pids = {result for _, result in engine.results(together, [(str(tmp_path), item, 3) for item in range(3)])}
    assert len(pids) == 3
    assert os.getpid() not in pids


def test_a_search_that_is_left_early_leaves_no_process() -> None:
    engine = LocalProcesses(2)
    results = engine.results(square, ITEMS)
    result = next(results)[1]
    assert not isinstance(result, Failed)
    results.close()  # pyright: ignore[reportAttributeAccessIssue]
    assert gone(result[1])


def test_processes_end_when_the_search_is_killed() -> None:
    """kill -9 leaves the search no time to end them."""
    code = (
        "from worker_jobs import square\nfrom h3c.compiler.codesigning.workers import LocalProcesses\n"
        "if __name__ == '__main__':\n"
        "    for _, result in LocalProcesses(2).results(square, range(10000)):\n"
        "        print(result[1], flush=True)\n"
    )
    driver = subprocess.Popen(
        [sys.executable, "-c", code], cwd=Path(__file__).parent, stdout=subprocess.PIPE, text=True
    )
    assert driver.stdout is not None
    pids = {int(driver.stdout.readline()) for _ in range(12)}
    driver.kill()
    driver.wait()
    assert all(gone(pid) for pid in pids)


def test_an_engine_is_named_on_the_command_line() -> None:
    local = engine_of("local", None)
    assert isinstance(local, LocalProcesses)
    assert local.workers == os.cpu_count()
    with pytest.raises(InputError, match="--workers"):
        engine_of("tcp://127.0.0.1:1", 3)


def test_a_killed_worker_of_a_cluster_loses_nothing_and_all_is_kept(tmp_path: Path) -> None:
    """Three worker processes, one of which is killed in the middle; every price is in the archive at the end."""

    class Remote:
        costly, measured = True, False

        def __init__(self, engine: DaskCluster) -> None:
            self.engine, self.evaluator = engine, Formula(toy_space())

        def contexts(self) -> list[Context]:
            return [Context("toy", model, "1", "") for model in self.evaluator.models]

        def prices(self, wanted: Any, done: Any) -> None:
            for (model, design), result in self.engine.results(priced, wanted):
                assert isinstance(result, Price), result
                done(model, design, result, True)

    designs = [(volt, rows, 1, 2, 3) for volt in range(4) for rows in range(5)]
    with cluster(3, "--no-nanny") as (address, _), DaskCluster(address) as engine:
        assert results_with_a_kill(engine) == {item: item * item for item in ITEMS}
        with Archive(tmp_path / "a.sqlite") as archive:
            scores = Archived(Remote(engine), archive).evaluate(designs)
            assert len(archive) == 2 * len(designs)
    assert (scores.energy_pj == Formula(toy_space()).evaluate(designs).energy_pj).all()


def test_an_item_that_kills_workers_of_a_cluster_is_told() -> None:
    """The scheduler gives it up at the first death, and takes what waited for that worker for its victims too."""
    with cluster(1, "--nanny", "--nworkers", "2", failures=0) as (address, _), DaskCluster(address) as engine:
        found = dict(engine.results(deadly, ITEMS[:8]))
    failed = found.pop(5)
    assert isinstance(failed, Failed)
    assert "died" in failed.reason
    assert found == {item: item for item in ITEMS[:8] if item != 5}


def test_a_cluster_without_workers_is_one_line_after_a_while() -> None:
    with cluster(0) as (address, _), DaskCluster(address, patience_s=1.5) as engine:
        start_s = time.monotonic()
        with pytest.raises(InputError, match=r"expected a worker, got none for 1.5 s"):
            list(engine.results(square, ITEMS))
        assert 1.5 < time.monotonic() - start_s < 15


def test_an_address_where_nobody_answers_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr("h3c.compiler.codesigning.workers.CONNECT_S", 0.5)
    for address in ("tcp://127.0.0.1:9", "nonsense"):
        with pytest.raises(InputError, match="expected the address of a Dask scheduler") as error:
            DaskCluster(address)
        assert "\n" not in str(error.value)


def test_a_cluster_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match="pip install distributed"):
        DaskCluster("tcp://127.0.0.1:9")
