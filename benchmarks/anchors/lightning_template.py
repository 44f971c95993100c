# python lightning_template.py data.data_dir=DATA
"""A multilayer perceptron on MNIST as lightning-hydra-template trains it, with TensorBoard."""

import hydra
import lightning
from omegaconf import DictConfig


@hydra.main(version_base="1.3", config_path="conf", config_name="lightning_template")
def main(cfg: DictConfig) -> None:
    lightning.seed_everything(cfg.seed, workers=True)
    datamodule = hydra.utils.instantiate(cfg.data)
    model = hydra.utils.instantiate(cfg.model)
    callbacks = [hydra.utils.instantiate(callback) for callback in cfg.callbacks.values()]
    loggers = [hydra.utils.instantiate(logger) for logger in cfg.logger.values()]
    trainer = hydra.utils.instantiate(cfg.trainer, callbacks=callbacks, logger=loggers)
    for logger in trainer.loggers:
        logger.log_hyperparams({"model/params/total": sum(p.numel() for p in model.parameters())})
    trainer.fit(model=model, datamodule=datamodule)
    if cfg.test:
        best = trainer.checkpoint_callback.best_model_path
        trainer.test(model=model, datamodule=datamodule, ckpt_path=best, weights_only=False)


if __name__ == "__main__":
    main()
