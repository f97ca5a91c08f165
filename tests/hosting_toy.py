"""Small random problems whose operators may run elsewhere, and the best choice of hosts by enumeration."""

from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import yaml
from segmentation_toy import least_time, random_problem

from h3c.passes.segmentation.dynamic import with_hosts
from h3c.passes.segmentation.hosting import HostedProblem
from h3c.passes.segmentation.problem import DIGITAL, Host, SegmentChip, SegmentOperator
from h3c.passes.segmentation.window import Known

ROOT = Path(__file__).parent.parent


def random_hosts(rng: np.random.Generator, chip: SegmentChip, op: SegmentOperator, copies: int) -> tuple[Host, ...]:
    """Hosts of a product: sometimes the digital unit, which reads the weight from off chip, and two tiers, one with up
    to `copies` copies, whose converter is shared by all that is there, the other one of two precisions."""
    found: list[Host] = []
    if rng.integers(3):
        ps = op.m * int(rng.choice([500, 3000, 20000]))
        read = op.weight_bytes if op.static else 0
        alone = max(ps, int(read / chip.dram_read_bytes_per_ns * 1000)) + int(rng.integers(2000))
        found.append(Host(DIGITAL, 1, 0, alone, 0, ((DIGITAL, ps),), read))
    if op.static and copies and rng.integers(4):
        pace, unit, shared = int(rng.choice([800, 4000, 15000])), int(rng.integers(1, 4)), int(rng.choice([0, 900]))
        for each in range(copies):
            own = -(-op.m // (1 << each)) * pace
            busy = (("convert", op.m * shared),) if shared else ()
            alone = max(own, op.m * shared) + shared
            found.append(Host("reram", 1 << each, unit << each, alone, own, busy))
    if op.static and not rng.integers(3):
        for name, pace in (("6", 1000), ("8", 5000)):
            found.append(Host("photonic", 1, 1, op.m * pace, op.m * pace, (("laser", op.m * 300),), 0, name))
    return tuple(found)


@dataclass(frozen=True)
class Case:
    """A problem with hosts, and the least time of every choice of hosts."""

    hosted: HostedProblem
    least_ps: dict[tuple[Host | None, ...], int]
    known: Known

    def optimum(self, hosted: HostedProblem) -> int | None:
        """The least of the choices that keep the budgets of `hosted`; None: there is none."""
        return min((time for hosts, time in self.least_ps.items() if hosted.keeps(hosts)), default=None)


@cache
def random_case(seed: int, operators: int = 3, copies: int = 2, most: int = 60) -> Case:
    """A case of two operators or more with at most so many choices of hosts."""
    rng = np.random.default_rng(seed)
    problem = random_problem(rng, int(rng.integers(2, operators + 1)), int(rng.integers(2, 6)))
    menu = [random_hosts(rng, problem.chip, op, copies) for op in problem.operators]
    while np.prod([len(hosts) + 1 for hosts in menu]) > most:
        longest = max(range(len(menu)), key=lambda i: len(menu[i]))
        menu[longest] = menu[longest][:-1]
    hosted = HostedProblem(problem, tuple(menu), {"reram": 100, "photonic": 100})
    known, tables = Known(), dict[object, np.ndarray]()
    return Case(
        hosted,
        {
            hosts: least_time(with_hosts(problem, hosts), known=known, tables=tables)
            for hosts in product(*((None, *each) for each in menu))
        },
        known,
    )


def random_budgets(rng: np.random.Generator, case: Case, kind: str) -> HostedProblem:
    """The problem of a case with fewer arrays of other tiers ("arrays"), a loss that is allowed ("loss"), or "both".
    Sometimes nothing may be lost, or an operator must not be here or on one of its hosts."""
    hosted = case.hosted
    if kind in ("arrays", "both"):
        hosted = replace(hosted, arrays={"reram": int(rng.integers(0, 8)), "photonic": int(rng.integers(0, 3))})
    if kind == "arrays":
        return hosted
    shares = {DIGITAL: 0.0, "photonic": float(rng.choice([0.5, 1.5])), "reram": float(rng.choice([0.3, 2.0]))}
    sizes = [float(rng.choice([0.0, 0.01, 1.0]) * rng.random()) for _ in hosted.menu]
    here = [float("inf") if rng.random() < 0.1 else size for size in sizes]
    there = [
        tuple(float("inf") if rng.random() < 0.05 else size * shares[host.tier] for host in hosts)
        for size, hosts in zip(sizes, hosted.menu, strict=True)
    ]
    most = float(rng.choice([0.0, 0.2, 0.5, 0.9])) * sum(sizes)
    return replace(hosted, here_loss=tuple(here), host_loss=tuple(there), max_loss=most)


def two_tiers(tmp_path: Path, arrays: int, others: int) -> str:
    """The dual-mode chip with so few arrays that models do not fit, and some of another shipped chip's tier."""
    text = (ROOT / "compiler/chips/dynaplasia.yaml").read_text()
    chip = yaml.safe_load(text.replace("arrays: 96 ", f"arrays: {arrays} ").replace("tiles: 96", f"tiles: {arrays}"))
    other = yaml.safe_load((ROOT / "compiler/chips/prime.yaml").read_text())["tiers"]["reram"]
    chip["tiers"]["reram"] = {**other, "arrays": others, "tiles": 1, "write_ports": 1}
    path = tmp_path / "two.yaml"
    path.write_text(yaml.safe_dump(chip, sort_keys=False))
    return str(path)
