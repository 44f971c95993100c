"""Volumes with masks in HDF5 files, cut into patches."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.data.source import MaskSpec, Problem, Splits
from runner.data.sources.image_folder import SHOWN
from runner.data.sources.settings import Statistics, require_none, statistics_problems, whole_number
from runner.data.sources.triples import Triple, triple, triple_problems

if TYPE_CHECKING:
    from runner.data.sources.patches import Patches

Files = str | Sequence[str]
PARTS = ("train", "valid", "test")
OF_STATISTICS = 64  # training patches that mean and std are computed from
MOST_CLASSES = 254  # 255 marks voxels that do not count


@dataclass(frozen=True, kw_only=True)
class HDF5Volumes:
    """Files, or patterns of files, for each part: in each ``raw`` is (D, H, W) or (C, D, H, W), ``label`` (D, H, W).

    Training patches of ``patch_size`` begin every ``stride`` voxels (None: side by side); the last one along an axis
    ends where the volume does. Those of whose voxels less than ``min_foreground_fraction`` are of another class than 0
    are left out. In validation and test each voxel counts once. ``halo`` more voxels at each end are shown to the
    model, mirrored beyond a volume's end, and do not count; neither do voxels whose label is ``ignored_label``.

    uint8 is scaled to [0, 1], uint16, too; other numbers are used as they are. Patches are read as they are used,
    unless all of them fit into memory.
    """

    train: Files
    valid: Files
    test: Files
    raw: str = "raw"
    label: str = "label"
    patch_size: Triple = 64
    stride: Triple | None = None
    halo: Triple = 0
    num_classes: int = 2
    ignored_label: int | None = None
    min_foreground_fraction: float = 0.0
    class_names: Sequence[str] = ()
    mean: Statistics = None  # None: computed from at most OF_STATISTICS training patches
    std: Statistics = None

    @property
    def spec(self) -> MaskSpec:
        """Raises ``ValueError`` where there are no training files to read the number of channels from."""
        require_none(self._settings_problems())
        size = tuple(own + 2 * halo for own, halo in zip(triple(self.patch_size), triple(self.halo), strict=True))
        channels = _channels(_shape(self._train_file(), self.raw))
        return MaskSpec(channels=channels, image_size=size, num_classes=self.num_classes, ignore_index=-100)

    def problems(self) -> list[Problem]:
        """Found from shapes and types alone: no volume is read."""
        found = self._settings_problems()
        if found:
            return found
        files = {part: self._files(part) for part in PARTS}
        for part in PARTS:
            if not files[part]:
                text = f"matches no file: {getattr(self, part)}"
                found.append(Problem(part, getattr(self, part), text, f"set dataset.{part} to files or a pattern"))
        for one, other in combinations(PARTS, 2):
            both = sorted({*files[one]} & {*files[other]})
            if both:
                text = f"has files that {one} has, too: {', '.join(both[:3])}"
                found.append(Problem(other, getattr(self, other), text, f"take them out of one of {one} and {other}"))
        kinds: dict[tuple[int, str], str] = {}
        for part in PARTS:
            for path in files[part]:
                found += [Problem(part, path, text, remedy) for text, remedy in self._defects(path, kinds)]
        if len(kinds) > 1:
            listed = " and ".join(
                f"{channels} channels of {kind} in {path}" for (channels, kind), path in kinds.items()
            )
            found.append(Problem("raw", self.raw, f"must be of one kind in all files, got {listed}", "convert some"))
        for channels, _ in list(kinds)[:1]:
            found += statistics_problems(self.mean, self.std, channels=channels)
        return found[:SHOWN]

    def load(self) -> Splits:
        """The digest is SHA-256 over names, bytes and shapes of the files, not over their content."""
        from runner.data.sources.patches import statistics
        from runner.data.statistics import given_or

        require_none(self.problems())
        parts = {part: self._patches(part) for part in PARTS}
        empty = [part for part, patches in parts.items() if not len(patches)]
        if empty:
            raise ValueError(
                f"dataset.min_foreground_fraction={self.min_foreground_fraction} leaves no patch in "
                f"{', '.join(empty)}; set it lower"
            )
        mean, std = given_or(self.mean, self.std, lambda: statistics(parts["train"], count=OF_STATISTICS))
        notes = {f"{part}_size": len(patches) for part, patches in parts.items()}
        return Splits(
            parts["train"],
            parts["valid"],
            parts["test"],
            spec=self.spec,
            mean=mean,
            std=std,
            class_names=tuple(self.class_names),
            digest=self._digest(),
            notes={**notes, "left_out": parts["train"].left_out},
        )

    def _settings_problems(self) -> list[Problem]:
        found = triple_problems(1, patch_size=self.patch_size) + triple_problems(0, halo=self.halo)
        if self.stride is not None:
            found += triple_problems(1, stride=self.stride)
        if not found and any(step > own for step, own in zip(self._stride, triple(self.patch_size), strict=True)):
            text = (
                f"must not be more than dataset.patch_size={self.patch_size}, got {self.stride}: voxels would be missed"
            )
            found.append(Problem("stride", self.stride, text, "set dataset.stride=null for patches side by side"))
        if not (whole_number(self.num_classes, at_least=2) and self.num_classes <= MOST_CLASSES):
            text = f"must lie between 2 and {MOST_CLASSES}, got {self.num_classes!r}"
            found.append(Problem("num_classes", self.num_classes, text, "set dataset.num_classes=2"))
        elif self.class_names and len(self.class_names) != self.num_classes:
            text = f"must name each of {self.num_classes} classes, got {len(self.class_names)} names"
            found.append(Problem("class_names", list(self.class_names), text, "set dataset.class_names=[] for numbers"))
        if not 0 <= self.min_foreground_fraction <= 1:
            text = f"must lie between 0 and 1, got {self.min_foreground_fraction!r}"
            found.append(Problem("min_foreground_fraction", self.min_foreground_fraction, text, "set it to 0 for all"))
        if find_spec("h5py") is None:
            found.append(Problem("_target_", "HDF5Volumes", "needs the package h5py", "install runner[hdf5]"))
        return found

    @property
    def _stride(self) -> tuple[int, int, int]:
        return triple(self.patch_size if self.stride is None else self.stride)

    def _files(self, part: str) -> list[str]:
        """Sorted within each pattern, each file once."""
        given = getattr(self, part)
        patterns = [given] if isinstance(given, str) else list(given)
        found = [sorted(glob.glob(str(Path(pattern).expanduser()), recursive=True)) for pattern in patterns]  # noqa: PTH207
        return list(dict.fromkeys(path for paths in found for path in paths))

    def _train_file(self) -> str:
        files = self._files("train")
        if not files:
            raise ValueError(f"dataset.train={self.train} matches no file; set dataset.train to files or a pattern")
        return files[0]

    def _defects(self, path: str, kinds: dict[tuple[int, str], str]) -> Iterator[tuple[str, str]]:
        """(what is wrong with a file, remedy); adds its channels and type to ``kinds``, where they are new."""
        import h5py

        try:
            with h5py.File(path, "r") as file:
                yield from self._defects_inside(file, path, kinds)
        except OSError as error:
            yield f"cannot be read: {path}: {error}", "replace it, or take it out"

    def _defects_inside(self, file: Any, path: str, kinds: dict[tuple[int, str], str]) -> Iterator[tuple[str, str]]:
        import h5py

        absent = [name for name in (self.raw, self.label) if not isinstance(file.get(name), h5py.Dataset)]
        if absent:
            there: list[str] = []
            file.visititems(lambda name, item: there.append(name) if isinstance(item, h5py.Dataset) else None)
            text = f"has no {' and no '.join(absent)}: {path} holds {', '.join(there[:SHOWN]) or 'nothing'}"
            yield text, "set dataset.raw and dataset.label to what it holds"
            return
        raw, label = file[self.raw], file[self.label]
        size = raw.shape[-3:]
        if raw.ndim not in (3, 4) or label.shape != size:
            text = f"has {self.raw} of shape {raw.shape} and {self.label} of shape {label.shape}: {path}"
            yield text, "store (D, H, W) or (C, D, H, W), and (D, H, W)"
            return
        if raw.dtype.kind not in "uif" or label.dtype.kind not in "uib":
            text = f"has {self.raw} of {raw.dtype} and {self.label} of {label.dtype}: {path}"
            yield text, "store numbers, and whole numbers"
        kinds.setdefault((_channels(raw.shape), str(raw.dtype)), path)
        if any(own > length for own, length in zip(triple(self.patch_size), size, strict=True)):
            text = f"has {'x'.join(map(str, size))} voxels, less than dataset.patch_size={self.patch_size}: {path}"
            yield text, f"set dataset.patch_size to at most {list(size)}"

    def _patches(self, part: str) -> Patches:
        from runner.data.sources.patches import Cut, Patches, Volume

        volumes = [Volume(path, self.raw, self.label, _shape(path, self.label)) for path in self._files(part)]
        training = part == "train"
        return Patches(
            volumes,
            Cut(triple(self.patch_size), triple(self.halo), self.num_classes, self.ignored_label),
            stride=self._stride,
            once=not training,
            min_foreground_fraction=self.min_foreground_fraction if training else 0.0,
        )

    def _digest(self) -> str:
        total = hashlib.sha256()
        for part in PARTS:
            for path in self._files(part):
                whole = f"{part}\0{Path(path).name}\0{Path(path).stat().st_size}\0{_shape(path, self.raw)}\n"
                total.update(whole.encode())
        return total.hexdigest()


def _shape(path: str, name: str) -> Any:
    import h5py

    with h5py.File(path, "r") as file:
        return tuple(int(length) for length in file[name].shape)


def _channels(shape: Sequence[int]) -> int:
    return shape[0] if len(shape) == 4 else 1
