"""The demo corpus of languages: its functions, its properties and its linear baseline."""

import csv
import importlib.util
import json
import os
import re
import subprocess
import sys
from collections import Counter, defaultdict
from importlib import metadata
from itertools import pairwise
from pathlib import Path

import pytest

for needed in ("django", "sklearn"):
    pytest.importorskip(needed)
polib = pytest.importorskip("polib")

FOLDER = Path(__file__).parents[2] / "examples" / "languages"


def load(name):
    """Import a script of the example, which is in no package."""
    spec = importlib.util.spec_from_file_location(f"languages_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


prepare = load("prepare")


def run_script(name, *arguments):
    command = [sys.executable, str(FOLDER / f"{name}.py"), *arguments]
    return subprocess.run(command, capture_output=True, encoding="utf-8", check=False)


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


@pytest.fixture(scope="module")
def entries():
    return prepare.build()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    out = tmp_path_factory.mktemp("languages") / "not" / "there" / "yet"
    done = run_script("prepare", "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert "zh-hans" in done.stdout
    return out


@pytest.mark.parametrize(
    ("message", "cleaned"),
    [
        ("Hello %(name)s, you have %d of %s items", "Hello, you have of items"),
        ("%(value).1f million", "million"),
        ("%(count) files", "files"),
        ("“%(pk)s” is not a valid value", "is not a valid value"),
        ("文件扩展“%(extension)s”是不被允许", "文件扩展 是不被允许"),
        ("{name} “{obj}” was added.", "was added."),
        ("Take {} of {total!r}", "Take of"),
        ("100%% sure", "100 sure"),
        ("a discount of 100 % de prix", "a discount of 100 % de prix"),
        ('See <a href="https://example.org/%(page)s">the docs</a>.', "See the docs."),
        ("Read https://example.org/a?b=c now", "Read now"),
        ("starts with “https://”, always", "starts with, always"),
        ("this &amp; that&nbsp;too", "this & that too"),
        ("  two\n lines\tand\u00a0more ", "two lines and more"),
        ("%(model)s-arvo puuttuu", "arvo puuttuu"),
        ("می\u200cخواهم\u200f", "می\u200cخواهم"),
        ("a\u200eb\u200b c", "ab c"),
        ("cafe\u0301", "café"),
        ("%s", ""),
    ],
)
def test_clean(message, cleaned):
    assert prepare.clean(message) == cleaned


def test_fingerprint_ignores_case_space_and_punctuation():
    assert prepare.fingerprint("Log “out” now!") == prepare.fingerprint('log  "Out" now')
    assert prepare.fingerprint("größer") != prepare.fingerprint("grober")


def test_split_is_stable_and_near_80_10_10():
    splits = Counter(prepare.split_of(f"message {number}") for number in range(5000))
    assert splits["train"] == pytest.approx(4000, abs=100)
    assert splits["validation"] == pytest.approx(500, abs=75)
    assert splits["test"] == pytest.approx(500, abs=75)
    # Fixed values: another Python process or version must not move a message.
    known = {"Home": "train", "Search": "test", "five": "validation"}
    assert {source: prepare.split_of(source) for source in known} == known


def test_keep_distinct():
    entry = prepare.Entry
    repeated = [entry("Delete it!", "en", "Home"), entry("delete it", "en", "Home.")]
    two_languages = [entry("Navn", "da", "Home"), entry("navn.", "sv", "Home")]
    two_splits = [entry("Suche", "de", "Home"), entry("Suche", "de", "Search")]
    alone = entry("Speichern", "de", "Home")
    kept = prepare.keep_distinct([*repeated, *two_languages, *two_splits, alone])
    assert Counter(each.label for each in kept) == {"en": 1, "de": 1}
    assert alone in kept
    backwards = [alone, *two_splits[::-1], *two_languages[::-1], *repeated[::-1]]
    assert prepare.keep_distinct(backwards) == kept


def test_25_languages_and_enough_texts(entries):
    counts = Counter(entry.label for entry in entries)
    assert sorted(counts) == sorted(prepare.LABELS)
    assert len(counts) == 25
    assert sum(counts.values()) >= 7000
    for split in prepare.SPLITS:
        labels = {entry.label for entry in entries if entry.split == split}
        assert labels == set(prepare.LABELS), split


def test_no_source_message_in_two_splits(corpus):
    """Compares the catalogues with the written files, not with `Entry.split`."""
    django = prepare.location_of("django")
    split_by_text = {
        (label, prepare.fingerprint(text)): split
        for split in prepare.SPLITS
        for text, label in rows_of(corpus / f"{split}.csv")[1:]
    }
    splits = defaultdict(set)
    for label in prepare.LABELS:
        for path in django.rglob(f"{label.replace('-h', '_H')}/LC_MESSAGES/*.po"):
            for message in polib.pofile(str(path)):
                forms = [message.msgid] if label == "en" else [message.msgstr]
                for form in [*forms, *message.msgstr_plural.values()]:
                    text = prepare.clean(form)
                    found = split_by_text.get((label, prepare.fingerprint(text)))
                    if found and len(text) >= prepare.MIN_LENGTH:
                        splits[message.msgid].add(found)
    assert len(splits) > 300
    assert {source: found for source, found in splits.items() if len(found) > 1} == {}


def test_texts_are_distinct_clean_and_long_enough(entries):
    counts = Counter(prepare.fingerprint(entry.text) for entry in entries)
    assert [text for text, count in counts.items() if count > 1] == []
    leftover = re.compile(r"%\s?\(|%[sdr%]|[{}<>]|&\w+;|https?:|[\r\n\t\x00]|\s\s|^\s|\s$")
    assert [entry for entry in entries if leftover.search(entry.text)] == []
    assert min(len(entry.text) for entry in entries) >= 20
    # A translation does not repeat the English.
    repeated = {entry.label for entry in entries if entry.text == entry.source}
    assert repeated == {"en"}


def test_catalogue_rules(tmp_path):
    folder = tmp_path / "conf" / "locale" / "de" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    plural = (
        'msgid "%(n)s object in this list"\nmsgid_plural "%(n)s objects in this list"\n'
        'msgstr[0] "%(n)s Objekt in dieser Liste"\nmsgstr[1] "%(n)s Objekte in dieser Liste"\n'
    )
    messages = [
        'msgid ""\nmsgstr "Content-Type: text/plain; charset=UTF-8\\n"\n',
        'msgctxt "page"\nmsgid "The page is missing"\nmsgstr "Die Seite wurde nicht gefunden"\n',
        '#, fuzzy\nmsgid "A guess"\nmsgstr "Diese Übersetzung ist geraten"\n',
        'msgid "Not translated at all, sorry"\nmsgstr ""\n',
        'msgid "Just copied from English %s"\nmsgstr "Just copied from English {}"\n',
        'msgid "Too short when clean"\nmsgstr "%(verbose_name_plural)s löschen"\n',
        plural,
        '#~ msgid "Gone"\n#~ msgstr "Dieser Satz ist veraltet"\n',
    ]
    (folder / "django.po").write_text("\n".join(messages), encoding="utf-8")
    found = list(prepare.read_catalogues(tmp_path, "de"))
    assert found == [
        prepare.Entry("Die Seite wurde nicht gefunden", "de", "The page is missing"),
        prepare.Entry("Objekt in dieser Liste", "de", "object in this list"),
        prepare.Entry("Objekte in dieser Liste", "de", "object in this list"),
    ]
    with pytest.raises(prepare.CorpusError, match="'fr'"):
        list(prepare.read_catalogues(tmp_path, "fr"))


def test_files_hold_the_entries(corpus, entries):
    expected = {f"{split}.csv" for split in prepare.SPLITS}
    assert {path.name for path in corpus.iterdir()} == expected
    for split in prepare.SPLITS:
        header, *rows = rows_of(corpus / f"{split}.csv")
        assert header == ["text", "label"]
        assert rows == [[each.text, each.label] for each in entries if each.split == split]
        # Not grouped by language: neighbours differ about as often as in a random order.
        changes = sum(a[1] != b[1] for a, b in pairwise(rows))
        assert changes > 0.9 * (len(rows) - 1)
        assert b"\r" not in (corpus / f"{split}.csv").read_bytes()


def test_second_run_writes_the_same_bytes_without_importing_django(corpus, tmp_path):
    code = (
        "import pathlib, runpy, sys\n"
        f"names = runpy.run_path({str(FOLDER / 'prepare.py')!r})\n"
        f"names['main'](out=pathlib.Path({str(tmp_path)!r}))\n"
        "sys.exit('django' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    for split in prepare.SPLITS:
        name = f"{split}.csv"
        assert (tmp_path / name).read_bytes() == (corpus / name).read_bytes()


@pytest.mark.parametrize("missing", ["django", "polib"])
def test_missing_package_names_the_install_command(missing, tmp_path, monkeypatch, capsys):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        prepare.importlib.util,
        "find_spec",
        lambda name: None if name == missing else find(name),
    )
    with pytest.raises(prepare.typer.Exit) as stopped:
        prepare.main(tmp_path / "out")
    assert stopped.value.exit_code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"'{missing}'" in line
    assert "pip install 'gatewise[demo]'" in line
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(metadata.version("django") != "5.2.19", reason="the README shows 5.2.19")
def test_readme_shows_the_real_counts(entries):
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    # The table of counts is the one with five columns.
    rows = [line for line in readme.splitlines() if line.startswith("│") and line.count("│") == 6]
    shown = [re.findall(r"[\w-]+", line) for line in rows]
    counts = Counter((entry.label, entry.split) for entry in entries)
    for label, *numbers in shown[:-1]:
        row = [counts[label, split] for split in prepare.SPLITS]
        assert list(map(int, numbers)) == [*row, sum(row)], label
    assert [row[0] for row in shown] == [*prepare.LABELS, "all"]
    assert shown[-1][-1] == str(len(entries))


def test_baseline_in_json(languages, model_folder):
    done = run_script("baseline", str(languages), "--model", str(model_folder), "--json")
    assert done.returncode == 0, done.stderr
    linear, gatewise = json.loads(done.stdout)
    assert set(linear) == {"name", "accuracy", "macro_f1", "rows"}
    assert linear["rows"] == gatewise["rows"] == len(rows_of(languages / "test.csv")) - 1
    assert gatewise["name"] == "Gatewise"
    assert gatewise["accuracy"] > 0.9


def test_baseline_names_a_missing_file(tmp_path):
    done = run_script("baseline", str(tmp_path))
    assert done.returncode == 1
    assert "train.csv: no such file or folder" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_whole_demo_runs(tmp_path):
    """The script of `make demo`, with a single epoch."""
    done = subprocess.run(
        [FOLDER / "demo.sh", tmp_path, "--set", "training.epochs=1"],
        cwd=FOLDER.parents[1],
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"train.csv", "validation.csv", "test.csv", "scored.csv", "model"}
    # The baseline is strong, and not perfect.
    shown = re.search(r"LinearSVC │ (\S+)% +│ (\S+)% +│", done.stdout)
    assert all(97 < float(percent) < 100 for percent in shown.groups())
    assert "Wo ist der nächste Bahnhof?" in done.stdout
    assert rows_of(tmp_path / "scored.csv")[0] == [
        *("text", "label", "predicted_label", "predicted_score")
    ]
