"""Folders of Hugging Face `datasets`: the files of a saved data set, and the splits of a folder.

`save_to_disk` writes Arrow files that `state.json` lists; of several splits, each has such a
folder, and `dataset_dict.json` lists them. A folder of the Hub has files such as
`train-00000-of-00001.parquet`, at its top or in `data`.
"""

import glob
import json
import re
from pathlib import Path

from gatewise.vocab.errors import CorpusError

_STATE, _INFO, _SPLITS = "state.json", "dataset_info.json", "dataset_dict.json"
_SHARD = re.compile(r"(.+)-\d{5}-of-\d{5}\.parquet")
_VALIDATION = {"valid": "validation", "val": "validation", "dev": "validation"}


def splits_of(folder: Path) -> dict[str, Path]:
    """The splits of a folder of `datasets`, each with the path or the pattern of its files.

    `valid`, `val` and `dev` count as `validation`. A folder of any other kind has none.

    Raises:
        CorpusError: `dataset_dict.json` is damaged.
    """
    if not folder.is_dir():
        return {}
    if (folder / _SPLITS).is_file():
        names = _read(folder / _SPLITS).get("splits")
        if not isinstance(names, list):
            raise CorpusError(f"{folder / _SPLITS}: expected a list of splits")
        return {_VALIDATION.get(name, name): folder / name for name in map(str, names)}
    for place in (folder, folder / "data"):
        shards = filter(None, (_SHARD.fullmatch(file.name) for file in place.glob("*.parquet")))
        if names := sorted({shard[1] for shard in shards}):
            escaped = glob.escape(str(place))
            return {
                _VALIDATION.get(name, name): Path(f"{escaped}/{glob.escape(name)}-*-of-*.parquet")
                for name in names
            }
    return {}


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
