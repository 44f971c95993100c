"""A sweep that searches: Optuna chooses the next jobs by what the jobs before them scored.

Hydra demands that sweepers live in this namespace. It works over any launcher.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from hydra_plugins.runner_plugins._checked import CheckedSweeper, entry_of

if TYPE_CHECKING:
    from runner.search.plan import Base, Plan
    from runner.search.space import Params, Space
    from runner.search.study import Asked, Settings, Study, Told
    from runner.sweep.conduct import Outcome, Planned
    from runner.sweep.ledger import Entry

BATCH = 1  # trials asked for together, when nobody says


class OptunaSweeper(CheckedSweeper):
    """Asks a study for trials, runs each as one job for each seed, and tells the study their mean.

    Trials that are asked for together are told together, in their order: with the same seed and ``n_jobs`` a search
    repeats, interrupted or not.
    """

    def __init__(
        self,
        n_trials: int,
        n_jobs: int | None = None,
        metric: str | Sequence[str] | None = None,
        sampler: str = "tpe",
        sampler_options: Mapping[str, Any] | None = None,
        seed: int = 0,
        pruner: str = "none",
        pruner_options: Mapping[str, Any] | None = None,
        storage: str | None = None,
        params: dict[str, str] | None = None,
        report: bool = True,
    ) -> None:
        super().__init__(params, report=report)
        self.n_trials = n_trials
        self.n_jobs = n_jobs
        self.metrics = None if metric is None else [metric] if isinstance(metric, str) else list(metric)
        self.storage = storage
        self._asked_for = (sampler, pruner, seed, dict(sampler_options or {}), dict(pruner_options or {}))

    def setup(self, *, hydra_context: Any, task_function: Any, config: DictConfig) -> None:
        """A launcher that runs ``n_jobs`` at once and leaves open how many is told."""
        launcher = config.hydra.launcher
        if "n_jobs" in launcher and launcher.n_jobs is None and self.n_jobs is not None:
            config.hydra.launcher.n_jobs = self.n_jobs
        self.n_jobs = self.n_jobs or max(BATCH, launcher.get("n_jobs") or BATCH)
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)

    def sweep(self, arguments: list[str]) -> Outcome:
        """Start the search, or go on with the one in the folder. Raises ``Refused`` before anything is written."""
        from runner.problem import Refused
        from runner.search import plan

        assert self.config is not None
        folder = Path(self.config.hydra.sweep.dir)
        asked = self.asked(arguments)
        before = plan.read(folder)
        if before is None:
            return self._run(folder, self._laid_out(folder, arguments), starts=True)
        if list(before.arguments) != asked:
            apart = [text for text in [*before.arguments, *asked] if (text in asked) != (text in before.arguments)]
            text = f"hydra.sweep.dir={folder}: holds another search, which differs in {', '.join(apart) or 'its order'}"
            raise Refused([f"{text}; choose another folder"])
        return self._run(folder, before)

    def resume(self, folder: Path) -> Outcome:
        """Go on with the search in ``folder``."""
        from runner.search import plan

        found = plan.read(folder)
        assert found is not None, "it is there: that is how this sweeper was chosen"
        return self._run(folder, found)

    def _settings(self) -> Settings:
        from runner.search.study import Settings

        return Settings(*self._asked_for)

    def _laid_out(self, folder: Path, arguments: Sequence[str]) -> Plan:
        """The search that is asked for, frozen. Raises ``Refused`` when it cannot be, or the folder is taken."""
        from runner import numbering
        from runner.problem import Refused
        from runner.search.plan import Plan, directions_of
        from runner.search.space import space_of
        from runner.search.study import new_study
        from runner.sweep import ledger

        assert self.hydra_context is not None
        if (folder / ledger.NAME).is_file():
            raise Refused([f"hydra.sweep.dir={folder}: holds a sweep that is no search; choose another folder"])
        loader = self.hydra_context.config_loader
        space = space_of(self.parsed(arguments), is_group=lambda key: bool(loader.get_group_options(key)))
        name = "search" if self.storage is None else new_study(self.storage, numbering.foreseen(folder))
        plan = Plan(self.asked(arguments), {}, name, self.storage, space, [])
        plan = replace(plan, bases=self._bases(space))
        bests = [config.trainer.best for config in self._corners(folder, plan)[1]]
        return replace(plan, directions=directions_of(self.metrics, bests))

    def _bases(self, space: Space) -> list[Base]:
        from runner.search.plan import Base

        options = list(space.options())
        cfgs, choices = self._composed([[*space.fixed, *chosen] for chosen in options])
        each = zip(options, choices, cfgs, strict=True)
        return [Base(chosen, names, OmegaConf.to_yaml(cfg)) for chosen, names, cfg in each]

    def _corners(self, folder: Path, plan: Plan) -> tuple[list[Planned], list[DictConfig]]:
        """A job for each corner of the space, as if it were to run. Raises ``Refused`` for values that no key takes."""
        from runner.cli.errors import user_message
        from runner.problem import Refused

        jobs, cfgs, lines = [], [], []
        for params in plan.space.corners():
            try:
                (job, *_), (cfg, *_) = self._jobs(folder, plan, params, {})
            except Exception as error:
                message = user_message(error)
                if message is None:
                    raise
                lines.append(message)
                continue
            jobs.append(job)
            cfgs.append(cfg)
        if lines:
            raise Refused(list(dict.fromkeys(lines)))
        return jobs, cfgs

    def _jobs(
        self, folder: Path, plan: Plan, params: Params, known: Mapping[str, Entry]
    ) -> tuple[list[Planned], list[DictConfig]]:
        """What is to be done for a trial, seed by seed, and the configurations. ``known`` are the entries by name."""
        from runner.search.jobs import name_of
        from runner.sweep import conduct

        before = {tuple(entry.overrides): entry for entry in known.values()}
        overrides, cfgs, entries = plan.space.overrides(params), plan.configs(params), []
        for own, cfg in zip(overrides, cfgs, strict=True):
            entry = before.get(tuple(own))
            if entry is None:
                name = name_of(plan, params, cfg.seed, others=set(known))
                entry = entry_of(name, cfg, plan.base(params).choices, own)
            entries.append(entry)
        return conduct.planned(entries, folder, retry_failed=False), [entry.composed() for entry in entries]

    def _run(self, folder: Path, plan: Plan, *, starts: bool = False) -> Outcome:
        from runner import numbering
        from runner.lock import held
        from runner.problem import Refused
        from runner.search import plan as plans
        from runner.search.study import Study
        from runner.sweep.conduct import Outcome

        problems = self._settings().problems(plan)
        counts = {"n_trials": self.n_trials, "n_jobs": self.n_jobs or BATCH}
        problems += [f"hydra.sweeper.{key}={n}: must be at least 1" for key, n in counts.items() if n < 1]
        if self.metrics is not None and self.metrics != [name.removeprefix("valid/") for name in plan.metrics]:
            problems.append(f"hydra.sweeper.metric: the search in {folder} is by {', '.join(plan.metrics)}")
        if problems:
            raise Refused(problems)
        if starts:
            self._check(folder, *self._corners(folder, plan))
        if self.check_only:
            return Outcome(numbering.foreseen(folder), [], [], [_prospect(plan, self.n_trials)])
        folder, plan = self._placed(folder, plan)
        with held(folder):
            plans.write(folder, plan)
            study = Study(plan, folder, self._settings())
            try:
                return self._searched(folder, plan, study)
            finally:
                study.close()

    def _placed(self, folder: Path, plan: Plan) -> tuple[Path, Plan]:
        """The folder, made, and the search in it, which is named by the number that the folder got."""
        from runner.search.study import new_study

        made = self._make(folder)
        if plan.storage is None or made == folder:
            return made, plan
        return made, replace(plan, study=new_study(plan.storage, made))

    def _searched(self, folder: Path, plan: Plan, study: Study) -> Outcome:
        """Ask, run and tell until there are ``n_trials``."""
        from runner.search.jobs import summary, write_table
        from runner.sweep import conduct, ledger

        entries = ledger.read(folder)
        (folder / "multirun.yaml").unlink(missing_ok=True)  # more trials may be asked for than before
        self._freeze(folder, entries)
        before = conduct.planned(entries, folder, retry_failed=True)  # as it would be, for telling: none is tried again
        jobs = {job.entry.name: job for job in before}
        try:
            while batch := self._next(study):
                if not self._batch(folder, plan, study, batch, jobs):
                    break
        finally:
            write_table(folder, plan, study.trials())
            self._write_report(folder, draw=True)
        notes = summary(plan, folder, study.trials(), study.best())
        return conduct.Outcome.of(folder, list(jobs.values()), notes)

    def _next(self, study: Study) -> list[Asked]:
        """The trials that are under way, and as many more as belong to their batch; or the next batch.

        Which trials are asked for together is a function of their numbers: a sweep that was killed asks no other way.
        """
        at_once = self.n_jobs or BATCH
        batch = study.under_way()
        asked = len(study.trials())
        room = -asked % at_once or (0 if batch else at_once)
        return [*batch, *study.ask(max(0, min(room, self.n_trials - asked)))]

    def _batch(self, folder: Path, plan: Plan, study: Study, batch: Sequence[Asked], jobs: dict[str, Planned]) -> bool:
        """Run trials that were asked for together, and tell how they ended once all have; whether to go on.

        ``jobs`` gets those that are new.
        """
        from runner.search import pruning
        from runner.search.jobs import outcome, told, write_table
        from runner.sweep import ledger

        known = {entry.name: entry for entry in ledger.read(folder)}
        trials, ends = self._possible(folder, plan, batch, known)
        todo = {job.entry.name: (number, job) for number, own in trials.items() for job in own if job.action != "skip"}
        self._freeze(folder, list(known.values()))
        for number, job in todo.values():
            rule = study.pruning(number) if job.action == "start" else None
            if rule is not None:
                pruning.write(job.folder, rule)
        for own in trials.values():
            jobs.update((job.entry.name, job) for job in own if job.entry.name not in jobs)
        if todo:
            todo_jobs = [job for _, job in todo.values()]
            self._launch(folder, todo_jobs, [self._whole(folder, job.entry, number) for number, job in todo.values()])
        found = {number: outcome([job.folder for job in own], plan.metrics) for number, own in trials.items()}
        if None in found.values():
            return False
        ends |= {number: end for number, end in found.items() if end is not None}
        for asked in batch:
            study.tell(asked, ends[asked.number])
            print(told(plan, asked.number, asked.params, ends[asked.number]))
        write_table(folder, plan, study.trials())
        failed = any(end is not None and end.state == "fail" for end in found.values())
        return not (failed and self._fails_fast())

    def _possible(
        self, folder: Path, plan: Plan, batch: Sequence[Asked], known: dict[str, Entry]
    ) -> tuple[dict[int, list[Planned]], dict[int, Told]]:
        """The jobs of each trial, which join ``known``; and the end of trials whose combination cannot be run."""
        from runner.problem import Refused
        from runner.search.study import Told

        trials, ends = {}, {}
        for asked in batch:
            try:
                jobs, cfgs = self._jobs(folder, plan, asked.params, known)
                self._check(folder, jobs, cfgs)
            except Refused as error:
                if _is_of_the_place(error.problems, plan):
                    raise
                ends[asked.number] = Told("fail", reason="; ".join(error.problems))
                continue
            trials[asked.number] = jobs
            known.update((job.entry.name, job.entry) for job in jobs)
        return trials, ends

    def _fails_fast(self) -> bool:
        assert self.config is not None
        return bool(OmegaConf.select(self.config, "hydra.launcher.fail_fast"))


def _prospect(plan: Plan, trials: int) -> str:
    each = f"{len(plan.space.seeds) or 1} job{'s' * (len(plan.space.seeds) > 1)} each"
    keys = ", ".join(one.name for one in plan.space.dimensions)
    return f"a search of {trials} trials, {each}, over {keys}; by {', '.join(plan.metrics)}"


def _is_of_the_place(problems: Sequence[str], plan: Plan) -> bool:
    """Whether folder, disk, launcher or data are at fault, and not what a trial has of its own: all would fail."""
    searched = {one.name.partition(".")[0] for one in plan.space.dimensions}
    return any(
        line.partition(".")[0] == "hydra" or (line.startswith("dataset") and "dataset" not in searched)
        for line in problems
    )
