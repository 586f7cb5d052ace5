"""Folders of splits, and those of Hugging Face's `datasets`.

A folder may hold a file or a folder for each split, such as `train.csv` and `test.csv`, or
`reviews_train_1.csv`, `reviews_train_2.csv` and `reviews_test.csv`.

`save_to_disk` writes Arrow files that `state.json` lists; of several splits, each has such a
folder, and `dataset_dict.json` lists them. A folder of the Hub has files such as
`train-00000-of-00001.parquet`, at its top or in `data`.
"""

import glob
import json
import re
from pathlib import Path

from gatewise.vocab.corpus.data_files import DataFile, Format
from gatewise.vocab.errors import CorpusError

_STATE, _INFO, _SPLITS = "state.json", "dataset_info.json", "dataset_dict.json"
_SHARD = re.compile(r"(.+)-\d{5}-of-\d{5}\.parquet")
_WORD = re.compile(r"[^\W\d_]+")
_SYNONYMS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}


def splits_of(folder: Path) -> dict[str, Path]:
    """The splits of a folder, each with the path or the pattern of its files.

    `valid`, `val` and `dev` count as `validation`, `eval` and `evaluation` as `test`. A folder of
    any other kind has none.

    Raises:
        CorpusError: `dataset_dict.json` is damaged, a split has two files, or there are other files
            among those of splits.
    """
    if not folder.is_dir():
        return {}
    if (folder / _SPLITS).is_file():
        names = _read(folder / _SPLITS).get("splits")
        if not isinstance(names, list):
            raise CorpusError(f"{folder / _SPLITS}: expected a list of splits")
        return _by_split({name: folder / name for name in map(str, names)})
    for place in (folder, folder / "data"):
        shards = filter(None, (_SHARD.fullmatch(file.name) for file in place.glob("*.parquet")))
        if names := sorted({shard[1] for shard in shards}):
            escaped = glob.escape(str(place))
            return _by_split(
                {name: Path(f"{escaped}/{glob.escape(name)}-*-of-*.parquet") for name in names}
            )
    return _named_splits(folder)


def evaluated_split(folder: Path) -> tuple[Path, str | None]:
    """What is evaluated of a folder: its test split, else its validation split; and a note of it.

    Raises:
        CorpusError: See `splits_of`.
    """
    splits = splits_of(folder)
    for name in ("test", "validation"):
        if len(splits) > 1 and name in splits:
            others = ", ".join(other for other in splits if other != name)
            return splits[name], f"{folder}: its split {name} is evaluated, and not {others}"
    return folder, None


def _by_split(paths: dict[str, Path]) -> dict[str, Path]:
    """The paths by their splits; beside `test`, a split `eval` keeps its name, and so on."""
    splits = {name: _SYNONYMS.get(name, name) for name in paths}
    return {name if splits[name] in paths else splits[name]: path for name, path in paths.items()}


def _named_splits(folder: Path) -> dict[str, Path]:
    """The splits of a folder whose files, or folders, have the names of splits."""
    try:
        entries = sorted(entry for entry in folder.iterdir() if entry.name[:1] not in "._")
    except OSError:
        return {}
    files: dict[str, list[Path]] = {}
    other_words = set()
    for entry in entries:
        if named := _split_in(entry):
            split, words = named
            files.setdefault(split, []).append(entry)
            other_words.add(words)
    if "train" not in files or len(files) < 2 or len(other_words) > 1:
        return {}
    found = {split: _one_path(folder, split, of_split) for split, of_split in files.items()}
    others = [entry for entry in entries if not _split_in(entry)]
    if data := [entry for entry in others if entry.is_dir() or _is_data(entry)]:
        raise CorpusError(
            f"{folder}: holds the splits {', '.join(map(repr, found))}, and {data[0].name!r}, "
            "which is none: name the files of one corpus, or move it elsewhere"
        )
    return found


def _split_in(entry: Path) -> tuple[str, tuple[str, ...]] | None:
    """The split in the name of a file or folder, and the other words of the name.

    Numbers count for nothing: `train_1.csv` is a part of `train`.
    """
    if entry.is_dir():
        # A folder may as well be a class.
        split = _SYNONYMS.get(entry.name.lower())
        return (split, ()) if split else None
    words = _WORD.findall(entry.name.partition(".")[0].lower())
    splits = [_SYNONYMS[word] for word in words if word in _SYNONYMS]
    others = tuple(word for word in words if word not in _SYNONYMS)
    return (splits[0], others) if len(splits) == 1 else None


def _one_path(folder: Path, split: str, files: list[Path]) -> Path:
    """The path of a split's file, or the pattern of files that differ in their numbers only."""
    if len(files) == 1:
        return files[0]
    parts = {tuple(re.split(r"\d+", file.name)) for file in files}
    if len(parts) == 1:
        pattern = "[0-9]*".join(map(glob.escape, next(iter(parts))))
        if sorted(folder.glob(pattern)) == files:
            return Path(glob.escape(str(folder)), pattern)
    raise CorpusError(
        f"{folder}: expected one file of the split {split!r}, received "
        f"{', '.join(file.name for file in files)}; several may differ in numbers only"
    )


def _is_data(file: Path) -> bool:
    return DataFile(str(file), Format.CSV).has_known_name and file.suffix not in (".txt", ".json")


def saved_files(folder: Path) -> list[Path] | None:
    """The Arrow files of a data set that `save_to_disk` wrote; None for any other folder.

    Raises:
        CorpusError: `state.json` is damaged, or the rows are an index into other rows.
    """
    if not ((folder / _STATE).is_file() and (folder / _INFO).is_file()):
        return None
    state = _read(folder / _STATE)
    if state.get("_indices_data_files") or state.get("_indices_files"):
        raise CorpusError(
            f"{folder}: the data set selects rows by an index. Save it again after "
            "flatten_indices()"
        )
    files = state.get("_data_files")
    if not isinstance(files, list) or not files:
        raise CorpusError(f"{folder / _STATE}: expected a list of data files")
    return [folder / str(file.get("filename")) for file in files if isinstance(file, dict)]


def _read(path: Path) -> dict[str, object]:
    try:
        values = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise CorpusError(f"{path}: cannot be read: {error}") from error
    if not isinstance(values, dict):
        raise CorpusError(f"{path}: expected a JSON object")
    return values
