"""One chip for several models: the search that a command line asks for."""

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter

from ...runtime_sim.errors import InputError
from ...runtime_sim.imc.layers import Layers
from ...runtime_sim.weights import STORE
from ..front import progress, spinner
from .archive import Archive
from .archive_keys import model_digest
from .archived import Archived, Batches
from .baselines import NAMES, SINGLE, baseline, check_names, single_technology
from .best_first import proven_best
from .closed_form import ClosedForm
from .evaluators import Evaluator, Task
from .evolutionary import BUDGET, four_phases, nsga2, random_chips
from .exhaustive import exhaustive
from .networks import dims_of_models, layers_of_file
from .objectives import Objective
from .placed import ModelFile, PlacedChips, Settings
from .placed_chips import is_template
from .quality import Data, Measuring, check_noise
from .ranking import KEPT, Found
from .report import Answer
from .space import Space
from .staged import Staged, staged_by_bound, staged_closed_form
from .staged_bound import LeastCosts
from .study import MOST_ENUMERATED, Study, exact_front, study_of_visited, study_of_whole, visited_front
from .workers import Engine, engine_of

HEURISTICS: dict[str, Callable[..., Found]] = {"evolutionary": four_phases, "nsga2": nsga2, "random": random_chips}
"""Searches that visit some chips, by name: of a task, a budget and a seed."""
TIME_LIMIT_S = 10.0
"""For placing one model on one chip."""
AT_ONCE = 8
"""Models that are placed together. Not the number of workers, as what is placed must not depend on that."""


@dataclass(frozen=True)
class Wanted:
    """What a command line asks for; None where it says nothing."""

    search: str
    budget: int | None = None
    seed: int | None = None
    baselines: tuple[str, ...] = ()
    front: bool = False
    report: bool = False
    archive: Path | None = None
    scheduler: str | None = None
    workers: int | None = None
    time_limit_s: float | None = None
    measuring: Measuring | None = None
    """How losses are measured."""
    data: Mapping[str, Data] = field(default_factory=dict[str, Data])
    """With what, by model."""


def search(
    space: Space, files: Mapping[str, Path], dims: Mapping[str, int], objective: Objective, wanted: Wanted
) -> Answer:
    """Search a space for models; each of `dims` binds the models that have a dimension of that name."""
    start = perf_counter()
    with nullcontext() if wanted.archive is None else Archive(wanted.archive) as archive:
        joint = Joint(space, files, dims_of_models(files, dims), objective, wanted, archive)
        if not is_template(space):
            answer = joint.placed()
        elif wanted.search == "staged":
            answer = joint.placed_after_closed_form()
        else:
            answer = joint.closed_form()
    return replace(answer, seconds=perf_counter() - start)


@dataclass(frozen=True)
class Joint:
    """A search with all that it needs."""

    space: Space
    files: Mapping[str, Path]
    dims: Mapping[str, Mapping[str, int]]
    """Of each model."""
    objective: Objective
    wanted: Wanted
    archive: Archive | None

    @property
    def budget(self) -> int:
        """How many chips the search visits, or places, at most."""
        usual = {"exhaustive": self.space.size, "staged": KEPT}.get(self.wanted.search, BUDGET)
        return min(self.wanted.budget or usual, self.space.size)

    @property
    def seed(self) -> int:
        """Of what is random."""
        return 1 if self.wanted.seed is None else self.wanted.seed

    def closed_form(self) -> Answer:
        """Search a space of the template by its closed form."""
        wanted, objective = self.wanted, self.objective
        check_names(wanted.baselines, NAMES)
        self._spread_nothing()
        form = self._form()
        digests = [model_digest(path, self.dims[name]) for name, path in self.files.items()]
        kept = None if self.archive is None else Archived(Batches(form, digests), self.archive)
        if wanted.search == "exhaustive":
            again = exhaustive
            with progress("enumerating", form.block_count()) as told:
                found = exhaustive(form, objective, told)
            if kept is not None:
                kept.evaluate([self.space.design(number) for number in found.top.number.tolist()])
        else:
            run = HEURISTICS[wanted.search]

            def again(form: ClosedForm, objective: Objective) -> Found:
                """The same search for a baseline."""
                return run(Task(form, objective), self.budget, self.seed)

            with progress(wanted.search, self.budget) as told:
                found = run(Task(kept or form, objective), self.budget, self.seed, told)
        answer = self._answer(Task(form, objective), found, kept)
        front = None
        if wanted.front:
            with progress("front", form.block_count()) as told:
                front = exact_front(form, objective, told) if found.visited is None else visited_front(found)
        return replace(
            answer,
            baselines=[baseline(name, form, objective, again) for name in wanted.baselines],
            front=front,
            study=self._study(form, found) if wanted.report else None,
        )

    def placed(self) -> Answer:
        """Search a space whose chips have to be placed."""
        wanted, staged = self.wanted, None
        check_names(wanted.baselines, (SINGLE,))
        with self._engine() as engine:
            chips = self._placed_chips(engine)
            with progress(wanted.search, self.budget * len(self.files)) as told:
                task = Task(Archived(chips, self.archive, told), self.objective)
                if wanted.search in HEURISTICS:
                    found = HEURISTICS[wanted.search](task, self.budget, self.seed)
                elif wanted.search == "exhaustive":
                    least = LeastCosts(chips)
                    sharper = least.of_products if self.objective.of_products(len(self.files)) else None
                    found = proven_best(Task(least, self.objective), task, AT_ONCE, sharper)
                else:
                    staged = staged_by_bound(Task(LeastCosts(chips), self.objective), task, self.budget)
                    found = staged.found
            answer = self._placed_answer(task, found, staged)
            return replace(answer, baselines=[single_technology(task) for _ in wanted.baselines])

    def placed_after_closed_form(self) -> Answer:
        """Place and simulate the best chips of a space of the template, by its closed form."""
        check_names(self.wanted.baselines, ())
        form = self._form()
        with self._engine() as engine:
            chips = self._placed_chips(engine)
            with progress("placing", self.budget * len(self.files)) as told:
                task = Task(Archived(chips, self.archive, told), self.objective)
                staged = staged_closed_form(form, task, self.budget)
            return self._placed_answer(task, staged.found, staged)

    def _placed_answer(self, task: Task, found: Found, staged: Staged | None) -> Answer:
        used = task.evaluator
        assert isinstance(used, Archived)
        if used.lost:
            found = replace(found, proven=False)
        answer = self._answer(task, found, used)
        return replace(
            answer,
            front=visited_front(found) if self.wanted.front else None,
            study=study_of_visited(task, found, self.wanted.search) if self.wanted.report else None,
            staged=staged if self.wanted.search == "staged" else None,
            measuring=self.wanted.measuring,
        )

    def _answer(self, task: Task, found: Found, used: Archived | None) -> Answer:
        """What was found; that nothing could be priced is an error."""
        if not len(found.top):
            why = next(iter(used.reasons.items()), None) if used is not None else None
            first = f" (first of them: {why[0][0]}: {why[1]})" if why else ""
            raise InputError(
                f"space {self.space.name}: expected a chip that can be priced, got none of {found.evaluated}{first}"
            )
        whole = self.wanted.search == "exhaustive"
        budget, seed = None if whole else self.budget, self.seed if self.wanted.search in HEURISTICS else None
        return Answer(task, self.wanted.search, found, 0.0, budget, seed, used=used)

    def _form(self) -> ClosedForm:
        with spinner("reading the models"):
            networks = {name: Layers.of(layers_of_file(path, self.dims[name])) for name, path in self.files.items()}
        form = ClosedForm(self.space, networks)
        self._check_cost(form)
        return form

    def _placed_chips(self, engine: Engine) -> PlacedChips:
        kind = self.objective.kind
        settings = Settings(
            objective=kind if kind == "latency" or kind == "energy" else "edp",
            time_limit_s=self.wanted.time_limit_s or TIME_LIMIT_S,
            simulate=self.wanted.search == "staged",
            measuring=self.wanted.measuring,
        )
        if self.wanted.measuring is not None:
            check_noise(self.space.base, self.space.source)
        with spinner("reading the models"):
            data = self.wanted.data
            models = [ModelFile.of(name, path, self.dims[name], data.get(name)) for name, path in self.files.items()]
            chips = PlacedChips(self.space, models, settings, engine)
        self._check_cost(chips)
        return chips

    @contextmanager
    def _engine(self) -> Generator[Engine]:
        """The processes that place; they end with the search, however it ends."""
        STORE.driver = "h3c-codesign"
        engine = engine_of(self.wanted.scheduler or "local", self.wanted.workers)
        try:
            yield engine
        finally:
            engine.close()

    def _study(self, form: ClosedForm, found: Found) -> Study:
        """Beside the answer of a closed form: of the whole space where that is small enough, and of all searches."""
        if found.visited is not None and self.space.size > MOST_ENUMERATED:
            return study_of_visited(Task(form, self.objective), found, self.wanted.search)
        courses: dict[str, Found] = {}
        for name, run in HEURISTICS.items():
            budget = min(self.wanted.budget or BUDGET, self.space.size)
            with progress(name, budget) as told:
                own = name == self.wanted.search
                courses[name] = found if own else run(Task(form, self.objective), budget, self.seed, told)
        with spinner("sensitivities"):
            return study_of_whole(form, self.objective, found, courses)

    def _check_cost(self, evaluator: Evaluator) -> None:
        if "cost" in self.objective.kind and "cost" not in evaluator.figures([self.space.design(0)]):
            kind, source = self.objective.kind, self.space.source
            raise InputError(f"--objective {kind}: expected a space with a figure cost, got {source}")

    def _spread_nothing(self) -> None:
        """Options of costly evaluations are an error where there are none."""
        if self.wanted.measuring is not None:
            raise InputError(
                f"--calibration: expected --search staged, or a space whose chips have to be placed, as closed forms "
                f"know nothing of noise, got space {self.space.source}"
            )
        for name in ("scheduler", "workers", "time_limit_s"):
            if getattr(self.wanted, name) is not None:
                option = name.removesuffix("_s").replace("_", "-")
                raise InputError(
                    f"--{option}: expected with --search staged, or with a space whose chips have to be placed, "
                    f"got space {self.space.source}, which has a closed form"
                )
