"""Small trainings that remember much: what there is to kill."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SMALL = """
    dataset=synthetic dataset.num_classes=4 dataset.channels=1 dataset.height=8 dataset.width=8
    dataset.train_size=44 dataset.valid_size=12 dataset.test_size=8 trainer.batch_size=8 trainer.workers=0
    trainer.save_every_steps=1 trainer.log_every_steps=1 trainer.evaluate_every_steps=3
    logger=[csv,tensorboard,images]
"""


@dataclass(frozen=True)
class Scenario:
    """A training, as a command. ``changes`` come on top of it in turn, each time that it is resumed."""

    name: str
    overrides: str
    changes: tuple[str, ...] = ("",)

    def started(self, folder: Path, *, steps: int) -> list[str]:
        return [*SMALL.split(), *self.overrides.split(), f"trainer.steps={steps}", f"hydra.run.dir={folder}"]

    def resumed(self, folder: Path, *, times: int = 0) -> list[str]:
        """The command for the time after ``times`` others."""
        return ["resume", str(folder), *self.changes[times % len(self.changes)].split()]


SCENARIOS = (
    Scenario(  # a rule ends it at step 18 of 24
        "classification",
        """model=mlp model.hidden=[16] model.dropout=0.2 optimizer.lr=0.05 trainer.micro_batches=2
        augmentation=crop_flip augmentation.padding=1
        stopping=early stopping.early.patience_evaluations=2 stopping.early.min_delta=0.15
        trainer.keep_best=2
        trajectory=steps trajectory.every_steps=1 trajectory.norms_and_biases=true""",
    ),
    Scenario("gan", "task=gan model.width=4 model.latent_dim=4 task.pictures_count=4 augmentation=none"),
    Scenario(
        "reconstruction",
        "task=reconstruction model.channels=[4] model.latent_dim=4 model.norm=batch trainer.precision=bf16",
    ),
    Scenario(
        "fp16",
        """model=lenet dataset.height=16 dataset.width=16 optimizer=sgd trainer.clip_norm=0.5
        trainer.precision=fp16 scheduler=plateau scheduler.patience_evaluations=0""",
    ),
    Scenario(
        "streamed",
        "model=mlp model.hidden=[16] augmentation=trivial trainer.resident=never",
        changes=("trainer.workers=1", "trainer.workers=2", "trainer.workers=0"),
    ),
)
