import pytest

from gatewise.training.config import config
from gatewise.training.config.config import ConfigError


def test_assignments_win_over_the_file_and_the_file_over_the_defaults(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text('[network]\ncell = "lstm"\nunits = 10\n[training]\nepochs = 2\n')
    loaded = config.load(file, ["network.units=20", "network.ngrams=[1, 3]"])
    assert loaded.network.cell == "lstm"
    assert loaded.network.units == 20
    assert loaded.network.ngrams == (1, 3)
    assert loaded.training.epochs == 2
    # A bare word needs no quotes.
    for assignment in ('network.cell="gru"', " network.cell = gru "):
        assert config.load(file, [assignment]).network.cell == "gru"
    assert config.load() == config.Config()


def test_a_size_sets_what_is_not_set_itself(tmp_path):
    def shape(*assignments):
        network = config.load(file, assignments).network
        return network.units, network.embedding_size

    file = tmp_path / "run.toml"
    file.write_text("")
    assert shape() == shape("network.size=default") == (64, 64)
    small, large = shape("network.size=small"), shape("network.size=large")
    assert small < (64, 64) < large
    assert shape("network.size=small", "network.units=64") == (64, small[1])
    assert shape("network.units=auto", "network.size=small") == small
    file.write_text('[network]\nembedding_size = 48\nsize = "small"\n')
    assert shape() == (small[0], 48)
    assert shape("network.size=large", "network.embedding_size=auto") == large
    # Written out and read again, the config of a run is the same.
    loaded = config.load(file)
    assert config.validated(loaded.model_dump(mode="json")) == loaded
    with pytest.raises(ConfigError, match=r"network\.size: .*'small', 'default' or 'large'"):
        config.load(assignments=["network.size=[1]"])
    with pytest.raises(ConfigError, match=r"network\.cell: .*received 'auto'"):
        config.load(assignments=["network.cell=auto"])


def test_ngram_lengths_follow_the_unit_unless_set():
    network = config.NetworkConfig()
    assert network.ngram_lengths("word") == (1, 2)
    assert network.ngram_lengths("character") == (1, 2, 3, 4)
    assert config.NetworkConfig(ngrams=(3, 1, 3)).ngram_lengths("word") == (1, 3)
    assert config.NetworkConfig(ngrams=()).ngram_lengths("word") == ()


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("network.unit=3", r"unknown setting 'network\.unit': expected one of .*network\.units"),
        (
            "net.units=3",
            r"'net': expected one of corpus, network, reject, sequence, teacher, tokens",
        ),
        ("network.units=many", r"network\.units: .*valid integer.*received 'many'"),
        ("network.cell=transformer", r"network\.cell: .*'gru', 'lstm' or 'rnn'.*'transformer'"),
        ("training.learning_rate=inf", r"learning_rate: .*finite number; received inf"),
        ("training.seed=-1", r"training\.seed: .*received -1"),
        (
            "training.optimizer=lion",
            r"training\.optimizer: .*'adamw', 'adam', 'sgd' or 'adagrad'; received 'lion'",
        ),
        (
            "training.schedule=exponential",
            r"training\.schedule: .*'cosine', 'linear' or 'constant'; received 'exponential'",
        ),
        ("network.units", r"expected section\.key=value"),
        ("units=3", r"expected section\.key=value"),
    ],
)
def test_a_wrong_setting_is_refused_in_one_line(assignment, message):
    with pytest.raises(ConfigError, match=message) as caught:
        config.load(assignments=[assignment])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"network = 3\n", "setting network: .*received 3"),
        (b"[network\n", "not valid TOML.*line 1"),
        (b"\xff", "not valid TOML"),
        (None, "cannot be read: No such file"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(tmp_path, contents, message):
    file = tmp_path / "run.toml"
    if contents is not None:
        file.write_bytes(contents)
    with pytest.raises(ConfigError, match=message) as caught:
        config.load(file)
    assert "\n" not in str(caught.value)


def test_settings_that_do_not_fit_each_other_are_refused(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text("network = 3\n")
    with pytest.raises(ConfigError, match="expected a table"):
        config.load(file, ["network.units=3"])
    with pytest.raises(ConfigError, match="together they balance twice"):
        config.load(assignments=["training.class_weights=balanced", "training.sampling=balanced"])


def test_a_setting_can_be_put_back_to_nothing(tmp_path):
    file = tmp_path / "settings.toml"
    file.write_text("\ufeff[training]\nmax_updates = 7\n", encoding="utf-8")
    assert config.load(file).training.max_updates == 7
    assert config.load(file, ["training.max_updates=null"]).training.max_updates is None
