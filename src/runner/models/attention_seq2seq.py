"""A recurrent encoder and a recurrent decoder that looks back at what was encoded."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from runner.data.vocabulary import PAD

State = tuple[Tensor, ...]


class Encoder(nn.Module):
    """Token ids (B, S) to annotations (B, S, 2 * hidden_dim): what two GRUs know there, one from each end.

    Padding, which stands after the end, changes no annotation of a token: the second GRU begins at the end. No length
    has to be known on the host for that, as packed sequences would need it.
    """

    def __init__(self, vocabulary_size: int, *, embedding_dim: int, hidden_dim: int, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, embedding_dim, padding_idx=PAD)
        self.dropout = nn.Dropout(dropout)
        self.forwards = nn.GRU(embedding_dim, hidden_dim, batch_first=True)
        self.backwards = nn.GRU(embedding_dim, hidden_dim, batch_first=True)

    def forward(self, source: Tensor) -> Tensor:
        lengths = (source != PAD).sum(1)
        embedded = self.dropout(self.embedding(source))
        there, _ = self.forwards(embedded)
        back, _ = self.backwards(turned(embedded, lengths))
        return torch.cat([there, turned(back, lengths)], 2)


def turned(sequences: Tensor, lengths: Tensor) -> Tensor:
    """The first ``lengths`` (B,) places of sequences (B, S, E) in the opposite order, the others where they were."""
    places = torch.arange(sequences.shape[1], device=sequences.device)
    index = torch.where(places < lengths[:, None], lengths[:, None] - 1 - places, places)
    return sequences.gather(1, index[:, :, None].expand_as(sequences))


def attended(scores: Tensor, annotations: Tensor, mask: Tensor) -> Tensor:
    """Contexts (B, 2H): the mean of annotations (B, S, 2H) by the softmax of scores (B, S) where ``mask`` is true."""
    weights = scores.masked_fill(~mask, torch.finfo(scores.dtype).min).softmax(1)
    return (weights[:, None] @ annotations)[:, 0]


class Bahdanau(nn.Module):
    """Attends with the state before a token is read: e_ij = v^T tanh(W s_(i-1) + U h_j).

    Bahdanau et al., "Neural machine translation by jointly learning to align and translate" (2015), with one layer of
    tanh in place of maxout before the output.
    """

    def __init__(self, embedding_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.query = nn.Linear(hidden_dim, hidden_dim, bias=False)  # W
        self.key = nn.Linear(2 * hidden_dim, hidden_dim, bias=False)  # U
        self.energy = nn.Linear(hidden_dim, 1, bias=False)  # v
        self.cell = nn.GRUCell(embedding_dim + 2 * hidden_dim, hidden_dim)
        self.readout = nn.Linear(embedding_dim + 3 * hidden_dim, hidden_dim)

    def start(self, annotations: Tensor, mask: Tensor, hidden: Tensor) -> State:
        return annotations, self.key(annotations), mask, hidden

    def step(self, embedded: Tensor, state: State) -> tuple[Tensor, State]:
        annotations, keys, mask, hidden = state
        scores = self.energy(torch.tanh(self.query(hidden)[:, None] + keys))[:, :, 0]
        context = attended(scores, annotations, mask)
        hidden = self.cell(torch.cat([embedded, context], 1), hidden)
        features = torch.tanh(self.readout(torch.cat([embedded, context, hidden], 1)))
        return features, (annotations, keys, mask, hidden)


class Luong(nn.Module):
    """Attends with the state after a token was read: score(h_t, h_s) = h_t^T W h_s ("general").

    Luong et al., "Effective approaches to attention-based neural machine translation" (2015), global attention with
    input feeding: the attentional vector tanh(W_c [c_t; h_t]) is read with the next token.
    """

    def __init__(self, embedding_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.key = nn.Linear(2 * hidden_dim, hidden_dim, bias=False)  # W
        self.cell = nn.GRUCell(embedding_dim + hidden_dim, hidden_dim)
        self.combine = nn.Linear(3 * hidden_dim, hidden_dim, bias=False)  # W_c

    def start(self, annotations: Tensor, mask: Tensor, hidden: Tensor) -> State:
        return annotations, self.key(annotations), mask, hidden, torch.zeros_like(hidden)

    def step(self, embedded: Tensor, state: State) -> tuple[Tensor, State]:
        annotations, keys, mask, hidden, features = state
        hidden = self.cell(torch.cat([embedded, features], 1), hidden)
        scores = (keys @ hidden.to(keys.dtype)[:, :, None])[:, :, 0]
        context = attended(scores, annotations, mask)
        features = torch.tanh(self.combine(torch.cat([context, hidden], 1)))
        return features, (annotations, keys, mask, hidden, features)


ATTENTIONS: dict[str, type[Bahdanau | Luong]] = {"bahdanau": Bahdanau, "luong": Luong}


class AttentionSeq2Seq(nn.Module):
    """Token ids (B, S) of a source and (B, T) of what stands before each target token to its logits (B, T, V).

    A bidirectional GRU encodes; a GRU whose ``attention`` is "bahdanau" or "luong" (see these classes) decodes. It
    begins with tanh(W h_1), where h_1 is what the encoder knows at the first token, from the end on.
    Raises ``ValueError`` for another attention, for sizes below 1 and a dropout outside [0, 1).
    """

    def __init__(
        self,
        *,
        source_vocabulary_size: int,
        target_vocabulary_size: int,
        attention: str = "bahdanau",
        embedding_dim: int = 64,
        hidden_dim: int = 128,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if attention not in ATTENTIONS:
            raise ValueError(
                f"model.attention must be one of {', '.join(ATTENTIONS)}, got {attention!r}; "
                "set model.attention=bahdanau"
            )
        for name, value in (("embedding_dim", embedding_dim), ("hidden_dim", hidden_dim)):
            if value < 1:
                raise ValueError(f"model.{name} must be at least 1, got {value}; set model.{name}=64")
        if not 0 <= dropout < 1:
            raise ValueError(f"model.dropout must lie in [0, 1), got {dropout}; set model.dropout=0.1")
        self.encoder = Encoder(
            source_vocabulary_size, embedding_dim=embedding_dim, hidden_dim=hidden_dim, dropout=dropout
        )
        self.begin = nn.Linear(hidden_dim, hidden_dim)
        self.embedding = nn.Embedding(target_vocabulary_size, embedding_dim, padding_idx=PAD)
        self.dropout = nn.Dropout(dropout)
        self.decoder: Bahdanau | Luong = ATTENTIONS[attention](embedding_dim, hidden_dim)
        self.output = nn.Linear(hidden_dim, target_vocabulary_size)

    def start(self, source: Tensor) -> State:
        annotations = self.encoder(source)
        from_the_end = annotations[:, 0, annotations.shape[2] // 2 :]
        return self.decoder.start(annotations, source != PAD, torch.tanh(self.begin(from_the_end)))

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        features, state = self.decoder.step(self.dropout(self.embedding(tokens)), state)
        return self.output(self.dropout(features)), state

    def forward(self, source: Tensor, inputs: Tensor) -> Tensor:
        state, found = self.start(source), []
        for embedded in self.dropout(self.embedding(inputs)).unbind(1):
            features, state = self.decoder.step(embedded, state)
            found.append(features)
        logits: Tensor = self.output(self.dropout(torch.stack(found, 1)))
        return logits
