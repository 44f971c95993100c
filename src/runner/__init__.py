"""Experiments in PyTorch, composed by Hydra."""
