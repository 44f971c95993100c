"""Tasks: what is minimised and what is scored. Any of these files can be copied out and used alone."""

from runner.tasks.aae import AAE
from runner.tasks.classification import Classification
from runner.tasks.cyclegan import CycleGAN
from runner.tasks.gan import GAN
from runner.tasks.novelty import Novelty
from runner.tasks.pix2pix import Pix2pix
from runner.tasks.reconstruction import Reconstruction
from runner.tasks.seq2seq import Seq2Seq
from runner.tasks.task import Task
from runner.tasks.vae import VAE

__all__ = ["AAE", "GAN", "VAE", "Classification", "CycleGAN", "Novelty", "Pix2pix", "Reconstruction", "Seq2Seq", "Task"]
