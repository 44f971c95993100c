"""A transformer that reads one sequence and writes another."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from runner.data.vocabulary import PAD

State = tuple[Tensor, ...]


class TransformerSeq2Seq(nn.Module):
    """Token ids (B, S) of a source and (B, T) of what stands before each target token to its logits (B, T, V).

    Vaswani et al., "Attention is all you need" (2017), of torch's layers, with the norm before each of them (Xiong et
    al., "On layer normalization in the transformer architecture", 2020): so it learns without warm-up.
    Raises ``ValueError`` for counts below 1, a ``dim`` that is odd or no multiple of ``heads``, and a dropout outside
    [0, 1).
    """

    positions: Tensor

    def __init__(
        self,
        *,
        source_vocabulary_size: int,
        target_vocabulary_size: int,
        source_length: int,
        target_length: int,
        dim: int = 64,
        heads: int = 4,
        layers: int = 2,
        feedforward_dim: int = 256,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        for name, value in (("dim", dim), ("heads", heads), ("layers", layers), ("feedforward_dim", feedforward_dim)):
            if value < 1:
                raise ValueError(f"model.{name} must be at least 1, got {value}; set model.{name}=4")
        if dim % heads or dim % 2:
            raise ValueError(f"model.dim must be even and a multiple of heads={heads}, got {dim}; set model.dim=64")
        if not 0 <= dropout < 1:
            raise ValueError(f"model.dropout must lie in [0, 1), got {dropout}; set model.dropout=0.1")
        self.scale = math.sqrt(dim)
        self.source_embedding = nn.Embedding(source_vocabulary_size, dim, padding_idx=PAD)
        self.target_embedding = nn.Embedding(target_vocabulary_size, dim, padding_idx=PAD)
        positions = sinusoids(max(source_length, target_length), dim)
        self.register_buffer("positions", positions, persistent=False)  # known from the settings
        self.dropout = nn.Dropout(dropout)
        settings: dict[str, Any] = {"dropout": dropout, "batch_first": True, "norm_first": True}
        self.encoder = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(dim, heads, feedforward_dim, **settings),
            layers,
            nn.LayerNorm(dim),
            enable_nested_tensor=False,
        )
        self.decoder = nn.TransformerDecoder(
            nn.TransformerDecoderLayer(dim, heads, feedforward_dim, **settings), layers, nn.LayerNorm(dim)
        )
        self.output = nn.Linear(dim, target_vocabulary_size)
        self._initialise()

    def _initialise(self) -> None:
        """torch copies one layer several times: here each gets weights of its own."""
        for parameter in self.parameters():
            if parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter)
        for embedding in (self.source_embedding, self.target_embedding):
            nn.init.normal_(embedding.weight, std=1 / self.scale)
            embedding.weight.data[PAD] = 0.0

    def start(self, source: Tensor) -> State:
        """What was read (B, S, dim), where it is padding (B, S), and no token yet (B, 0)."""
        padding = source == PAD
        read = self.encoder(self._embedded(self.source_embedding, source), src_key_padding_mask=padding)
        return read, padding, source[:, :0]

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """All tokens are read anew at each step: short sequences do not pay for a memory of keys and values."""
        read, padding, before = state
        inputs = torch.cat([before, tokens[:, None]], 1)
        return self._written(inputs, read, padding)[:, -1], (read, padding, inputs)

    def forward(self, source: Tensor, inputs: Tensor) -> Tensor:
        read, padding, _ = self.start(source)
        return self._written(inputs, read, padding)

    def _written(self, inputs: Tensor, read: Tensor, padding: Tensor) -> Tensor:
        """A place sees itself and those before it, and so no padding unless it is padding itself."""
        length = inputs.shape[1]
        later = torch.ones(length, length, dtype=torch.bool, device=inputs.device).triu(1)
        embedded = self._embedded(self.target_embedding, inputs)
        written = self.decoder(embedded, read, tgt_mask=later, memory_key_padding_mask=padding, tgt_is_causal=True)
        logits: Tensor = self.output(written)
        return logits

    def _embedded(self, embedding: nn.Embedding, tokens: Tensor) -> Tensor:
        embedded: Tensor = self.dropout(embedding(tokens) * self.scale + self.positions[: tokens.shape[1]])
        return embedded


def sinusoids(length: int, dim: int) -> Tensor:
    """Positional encodings (length, dim): sines and cosines in turn, of wavelengths from 2 pi to 10000 * 2 pi."""
    places = torch.arange(length, dtype=torch.float32)[:, None]
    rates = torch.exp(torch.arange(0, dim, 2, dtype=torch.float32) * (-math.log(10000.0) / dim))
    return torch.stack([(places * rates).sin(), (places * rates).cos()], 2).flatten(1)
