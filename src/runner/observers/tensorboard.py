"""What TensorBoard shows of a run."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.observers.gradients import LastGradients
from runner.observers.observer import EvaluationRecord, Outcome, RunInfo, StepRecord
from runner.observers.pictures import Pictures

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.utils.tensorboard import SummaryWriter


HISTOGRAMS = ("weights", "gradients")
FINAL = ".final"  # ends the name of the file that a completed run adds


class TensorBoard:
    """Event files in the folder ``tensorboard`` of the run.

    Scalars: of evaluations under the metrics' own names; of logged steps the losses as ``<name>_step``, the learning
    rates, the momenta that move, ``samples_per_s`` and ``memory_gib``. The configuration as text. For a completed run
    its hparams with the final scores, in a file of their own. The task's pictures of ``pictures`` samples, 0 for none,
    under their names after ``pictures/``, at the first evaluation and each ``every_evaluations``-th one; tables of the
    test part under their own. ``histograms`` at each evaluation: of the trained ``weights``, of the ``gradients`` of
    the step before it, or of both; ``True`` means the weights. A resumed run first takes away the final scores of
    before, and hides what was written after the step at which it goes on; one from step 0 starts anew.
    Raises ``ValueError`` when the run has no folder, or TensorBoard is not installed.
    """

    def __init__(
        self, histograms: bool | str | Sequence[str] = False, pictures: int = 16, every_evaluations: int = 1
    ) -> None:
        if pictures < 0 or every_evaluations < 1:
            raise ValueError(
                "logger.tensorboard needs pictures >= 0 and every_evaluations >= 1, got "
                f"pictures={pictures} and every_evaluations={every_evaluations}; set pictures=0 for none"
            )
        self.histograms = _chosen(histograms)
        self.gradients = LastGradients()
        self.pictures = Pictures(count=pictures, every_evaluations=every_evaluations)
        self._folder: Path | None = None
        self._writer: SummaryWriter | None = None
        self._hparams: dict[str, str | float | int] = {}
        self._task: nn.Module | None = None

    def started(self, run: RunInfo) -> None:
        if run.folder is None:
            raise ValueError("TensorBoard needs a run with a folder to write into; give one, or leave TensorBoard out")
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise ValueError(
                "TensorBoard needs the package tensorboard; install it, or leave tensorboard out of logger"
            ) from None
        self._folder = run.folder / "tensorboard"
        for stale in self._folder.glob(f"events.*{FINAL}" if run.first_step else "events.*"):
            stale.unlink()
        _wait_for_another_second(self._folder)
        # purge_step hides that step and all after it; first_step itself was completed, and stays.
        purge_step = run.first_step + 1 if run.first_step else None
        self._writer = SummaryWriter(str(self._folder), purge_step=purge_step)
        if run.config_text and not run.first_step:
            self._writer.add_text("config", f"```yaml\n{run.config_text}\n```", 0)
        self._hparams = _flat(run.hparams)
        self._task = run.task
        self.pictures.started(run)
        if "gradients" in self.histograms:
            self.gradients.started(run)
        self._writer.flush()

    def logged(self, record: StepRecord) -> None:
        self._scalars(record.scalars(), record.step)

    def stepped(self, step: int) -> None:
        if "gradients" in self.histograms:
            self.gradients.stepped(step)

    def settled(self) -> None: ...

    def evaluated(self, record: EvaluationRecord) -> None:
        assert self._task is not None, "started comes first"
        if "weights" in self.histograms:
            trained = {name: weight for name, weight in self._task.named_parameters() if weight.requires_grad}
            self._histograms("weights", trained, record.step)
        self._histograms("gradients", self.gradients.take(), record.step)
        assert self._writer is not None, "started comes first"
        for name, grid in self.pictures.drawn(record.step).items():
            _add_image(self._writer, f"pictures/{name}", grid, record.step)
        self._scalars(record.metrics, record.step)

    def finished(self, outcome: Outcome) -> None:
        if self._writer is None:
            return
        if outcome.state == "completed":
            self._final(outcome)
        self._writer.close()
        self._writer = None
        self._task = None
        self.pictures.finished()
        self.gradients.finished()

    def _scalars(self, values: Mapping[str, float], step: int) -> None:
        assert self._writer is not None, "started comes first"
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()  # a run that is killed after its next checkpoint must not miss these

    def _final(self, outcome: Outcome) -> None:
        """As ``add_hparams`` writes them, but into a file that a run which is extended can take away."""
        from torch.utils.tensorboard import SummaryWriter
        from torch.utils.tensorboard.summary import hparams

        with SummaryWriter(str(self._folder), filename_suffix=FINAL) as writer:
            shown = hparams(self._hparams, dict(outcome.metrics)) if self._hparams else ()  # type: ignore[no-untyped-call]
            for summary in shown:
                writer.file_writer.add_summary(summary, outcome.step)
            for name, value in outcome.metrics.items():
                writer.add_scalar(name, value, outcome.step)
            for name, picture in self.pictures.tables(outcome).items():
                _add_image(writer, name, picture, outcome.step)

    def _histograms(self, kind: str, tensors: Mapping[str, Tensor], step: int) -> None:
        assert self._writer is not None, "started comes first"
        for name, tensor in tensors.items():
            values = tensor.detach().float()
            if values.numel() and bool(values.isfinite().all()):  # host sync
                self._writer.add_histogram(f"{kind}/{name}", values, step)


def _chosen(histograms: bool | str | Sequence[str]) -> Sequence[str]:
    given = [histograms] if isinstance(histograms, str) else histograms
    chosen = (["weights"] if given else []) if isinstance(given, bool) else list(given)
    if not set(chosen) <= set(HISTOGRAMS):
        raise ValueError(
            f"logger.tensorboard.histograms must be false, weights, gradients or a list of these, got {histograms}"
        )
    return chosen


def _add_image(writer: SummaryWriter, name: str, picture: Tensor, step: int) -> None:
    """Grey from one or two channels, colour from the first three of more."""
    writer.add_image(name, picture[: 1 if len(picture) < 3 else 3], step)


def _wait_for_another_second(folder: Path) -> None:
    """Event files are read in the order of their names, which begin with the second in which they were made."""
    seconds = [int(file.name.split(".")[3]) for file in folder.glob("events.out.tfevents.*")]
    while seconds and int(time.time()) == max(seconds):
        time.sleep(0.02)


def _flat(hparams: Mapping[str, Any]) -> dict[str, str | float | int]:
    """Hparams are numbers and strings: anything else is shown as its text (``add_hparams`` makes a flag a number)."""
    shown = (str, float, int)
    return {
        key: value if isinstance(value, shown) and not isinstance(value, bool) else str(value)
        for key, value in hparams.items()
    }
