"""The archive of evaluations: what is in it stays, through kills and beside other searches, and changes no answer."""

import multiprocessing
import random
import sqlite3
import threading
import time
from dataclasses import replace
from math import inf
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest
from codesign_toy import TREE, Formula, search, search_in_a_process, toy_space

from h3c.compiler.codesigning.archive import Archive, Context, Price
from h3c.compiler.codesigning.archive_keys import cost_version, file_digest, space_digest
from h3c.compiler.codesigning.archived import Archived, Batches
from h3c.compiler.codesigning.space_files import space_from_tree
from h3c.runtime_sim.errors import InputError

HERE = Context("space", "model", "version", "settings")
BUDGET = 330
FORKS = multiprocessing.get_context("forkserver")


def test_a_price_comes_back_with_the_same_bits(tmp_path: Path) -> None:
    one, failed = Price(0.1 + 0.2, 1e300 / 3, 5e-324), Price.failed("no tier takes it", 12.5)
    with Archive(tmp_path / "a.sqlite") as archive:
        archive.put([(HERE, (1, 2), one), (HERE, (3, 4), failed), (HERE, (5,), Price.failed("died"))])
    with Archive(tmp_path / "a.sqlite") as archive:
        known = archive.get(HERE, [(1, 2), (3, 4), (5,), (6,)])
        assert known == {(1, 2): one, (3, 4): failed, (5,): Price(inf, inf, inf, "died")}


@pytest.mark.parametrize("field", ["space", "model", "version", "settings"])
def test_a_price_is_known_only_where_all_that_it_depends_on_is_the_same(tmp_path: Path, field: str) -> None:
    with Archive(tmp_path / "a.sqlite") as archive:
        archive.put([(HERE, (1,), Price(1.0, 2.0, 3.0))])
        assert archive.get(replace(HERE, **{field: "another"}), [(1,)]) == {}


def test_what_is_known_is_never_replaced(tmp_path: Path) -> None:
    with Archive(tmp_path / "a.sqlite") as archive:
        for energy in (1.0, 2.0):
            archive.put([(HERE, (1,), Price(energy, 1.0, 1.0))])
        assert archive.get(HERE, [(1,)])[1,].energy_pj == 1.0


def test_more_chips_are_asked_for_than_a_statement_takes(tmp_path: Path) -> None:
    designs = [(number,) for number in range(40_000)]
    with Archive(tmp_path / "a.sqlite") as archive:
        archive.put((HERE, design, Price(design[0], 1.0, 1.0)) for design in designs[::2])
        known = archive.get(HERE, designs)
    assert {design: price.energy_pj for design, price in known.items()} == {d: d[0] for d in designs[::2]}


def test_prices_of_a_batch_that_fails_are_not_there_in_part(tmp_path: Path) -> None:
    with Archive(tmp_path / "a.sqlite") as archive:
        bad = Price("a", 1.0, 1.0)  # pyright: ignore[reportArgumentType]
        with pytest.raises(TypeError):
            archive.put([(HERE, (1,), Price(1.0, 1.0, 1.0)), (HERE, (2,), bad)])
        assert archive.get(HERE, [(1,)]) == {}
        archive.put([(HERE, (3,), Price(1.0, 1.0, 1.0))])  # no transaction was left open


def test_a_file_that_is_no_archive_is_one_line_and_stays_as_it_is(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("not a data base, but long enough to have a header of one " * 4)
    other = tmp_path / "other.sqlite"
    with sqlite3.connect(other) as file:
        file.execute("create table songs (name text)")
    before = {path: path.read_bytes() for path in (text, other)}
    for path in (text, other, tmp_path, tmp_path / "none" / "a.sqlite"):
        with pytest.raises(InputError, match=r"expected an (archive|existing folder)") as error:
            Archive(path)
        assert "\n" not in str(error.value)
        assert str(path) in str(error.value)
    assert before[text] == text.read_bytes()
    with sqlite3.connect(other) as file:
        assert file.execute("select name from sqlite_master").fetchall() == [("songs",)]


def test_two_processes_fill_one_file_at_once(tmp_path: Path) -> None:
    """Two whole searches of different seeds, started together on a file that is not there yet."""
    runs = [start(tmp_path, seed, answer=f"answer {seed}") for seed in (1, 2)]
    answers = [ended(run, tmp_path / f"answer {seed}") for seed, run in enumerate(runs, 1)]
    alone = [search(None, tmp_path / "alone", BUDGET, seed)[0] for seed in (1, 2)]
    assert [answer[0] for answer in answers] == alone
    assert ended(start(tmp_path, 2), tmp_path / "answer") == [alone[1], f"{2 * BUDGET} 0"]


def test_a_search_finds_what_another_one_priced(tmp_path: Path) -> None:
    with Archive(tmp_path / "a.sqlite") as archive:
        _, first = search(archive, tmp_path / "log", BUDGET, 1)
        answer, second = search(archive, tmp_path / "log", BUDGET, 2)
    assert answer == search(None, tmp_path / "log", BUDGET, 2)[0]
    assert first.found == 0
    assert second.found > 0
    assert second.found + second.priced == 2 * BUDGET


def test_a_search_killed_again_and_again_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    """kill -9 at random moments: what was done is there, is not done again, and the answer has the same bits."""
    rng, kills = random.Random(5), 0
    log = tmp_path / "log"
    while True:
        run = start(tmp_path, 3, seconds=0.002)
        began = time.monotonic()
        while run.is_alive() and not lines(log) > 120 * kills + rng.randint(1, 120):
            time.sleep(0.002)
            assert time.monotonic() < began + 60
        if not run.is_alive():
            break
        time.sleep(rng.random() * 0.005)
        run.kill()
        run.join()
        kills += 1
        with Archive(tmp_path / "a.sqlite") as archive:
            assert len(archive) - lines(log) in (0, 1)  # one may be in the archive, and not yet in the log
    assert kills >= 4
    answer, counts = ended(run, tmp_path / "answer")
    assert answer == search(None, tmp_path / "alone", BUDGET, 3)[0]
    found, priced = map(int, counts.split())
    assert found + priced == 2 * BUDGET
    done = log.read_text().splitlines()
    assert len(set(done)) == len(done)  # nothing was priced twice
    assert 2 * BUDGET - kills <= len(done) <= 2 * BUDGET


def test_a_search_waits_for_another_one_that_writes(tmp_path: Path) -> None:
    with Archive(tmp_path / "a.sqlite") as archive:
        other = sqlite3.connect(tmp_path / "a.sqlite", isolation_level=None, check_same_thread=False)
        other.execute("begin immediate")
        threading.Timer(0.4, other.execute, ["commit"]).start()
        start_s = time.monotonic()
        archive.put([(HERE, (1,), Price(1.0, 1.0, 1.0))])
        assert time.monotonic() - start_s > 0.3
        assert len(archive) == 1


def test_prices_that_cost_little_are_written_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writes: list[int] = []
    put = Archive.put

    def counting(archive: Archive, rows: list[tuple[Context, tuple[int, ...], Price]]) -> None:
        writes.append(len(rows))
        put(archive, rows)

    monkeypatch.setattr(Archive, "put", counting)
    designs = [(volt, 0, 0, 0, 0) for volt in range(8)]
    with Archive(tmp_path / "a.sqlite") as archive:
        Archived(Batches(Formula(toy_space()), ["one", "two"]), archive).evaluate(designs)
        assert writes == [16]
        assert len(archive) == 16


def test_a_space_is_told_apart_by_what_makes_its_chips_alone() -> None:
    def digest(**changes: object) -> str:
        return space_digest(space_from_tree({**TREE, **changes}, "a space", Path()))

    same = digest()
    assert same == digest(name="another", description="another", constraints={})
    shorter = {**TREE["variables"], "tiers.imc.groups": [1, 2, 4]}  # pyright: ignore[reportGeneralTypeIssues]
    assert len({same, digest(base="imc-sram"), digest(variables=shorter)}) == 3
    followed = {"buffer.energy_pj_per_bit": "rows / 1000"}
    assert len({same, digest(follow=followed), digest(follow={"buffer.energy_pj_per_bit": "rows / 500"})}) == 3
    figures = {"figures": {"word": "rows / 1000"}, "follow": {"buffer.energy_pj_per_bit": "word"}}
    assert digest(**figures) != digest(**{**figures, "figures": {"word": "rows / 500"}})


def test_a_file_and_the_code_have_a_digest_of_their_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    (tmp_path / "b").write_bytes(b"abc")
    assert file_digest(tmp_path / "a") == file_digest(tmp_path / "b")
    (tmp_path / "b").write_bytes(b"abd")
    assert file_digest(tmp_path / "a") != file_digest(tmp_path / "b")
    assert cost_version() == cost_version()


def test_chips_that_could_not_be_priced_stay_infinite_and_say_why(tmp_path: Path) -> None:
    class Failing(Formula):
        def evaluate(self, designs):  # pyright: ignore
            scores = super().evaluate(designs)
            scores.energy_pj[1, [design[0] == 2 for design in designs]] = inf
            return scores

    evaluator = Failing(toy_space())
    for _ in range(2):  # the second time from the archive
        with Archive(tmp_path / "a.sqlite") as archive:
            archived = Archived(Batches(evaluator, ["one", "two"]), archive)
            scores = archived.evaluate([(2, 0, 0, 0, 0), (1, 0, 0, 0, 0)])
        assert scores.energy_pj[1, 0] == inf
        assert scores.energy_pj[1, 1] < inf
        assert list(archived.reasons) == [("deep", (2, 0, 0, 0, 0))]
        assert scores.area_mm2.tolist() == [100.0, 100.0]


def start(folder: Path, seed: int, seconds: float = 0.0, answer: str = "answer") -> ForkServerProcess:
    """A search in a process of its own, which a server forks that has all imported."""
    FORKS.set_forkserver_preload(["codesign_toy", "pymoo.algorithms.soo.nonconvex.ga"])
    words = folder / "a.sqlite", folder / "log", BUDGET, seed, seconds, folder / answer
    run = FORKS.Process(target=search_in_a_process, args=words)
    run.start()
    return run


def ended(run: ForkServerProcess, answer: Path) -> list[str]:
    """What a search said that ended well."""
    run.join(120)
    assert run.exitcode == 0
    return answer.read_text().splitlines()


def lines(path: Path) -> int:
    """How many lines a file has, 0 if there is none."""
    return path.read_text().count("\n") if path.exists() else 0
