import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from gatewise.training.config.config import CombinationError, Config, ConfigError
from gatewise.training.config.config import load as load_config
from gatewise.training.tuning import search_space


@pytest.fixture
def space(tmp_path):
    def load(text, config=None):
        file = tmp_path / "space.toml"
        file.write_text(text, encoding="utf-8")
        return search_space.load(file, config or Config())

    return load


def test_choices_and_ranges(space):
    found = space(
        '[network]\nunits = [32, 64]\nngrams = [[], [1, 2], "auto"]\n'
        "layers = {low = 1, high = 3}\ndropout = {low = 0.1, high = 0.7, step = 0.2}\n"
        "[training]\nlearning_rate = {low = 1e-4, high = 1e-2, log = true}\n"
    )
    assert found == {
        "network.units": CategoricalDistribution(("32", "64")),
        "network.ngrams": CategoricalDistribution(("[]", "[1, 2]", '"auto"')),
        "network.layers": IntDistribution(1, 3),
        "network.dropout": FloatDistribution(0.1, 0.7, step=0.2),
        "training.learning_rate": FloatDistribution(1e-4, 1e-2, log=True),
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected settings with the values to try"),
        ("units = 3", "units: expected a table of settings, received 3"),
        ("[network]\nunits = 3", "network.units: expected a list of choices or a range"),
        ("[network]\nunits = []", "network.units: expected at least one choice"),
        ("[network]\nunits = [4, 8, 4]", "network.units: expected each choice once, received 4"),
        ("[network]\nunit = [4]", "unknown setting 'network.unit'"),
        ("[networks]\nunits = [4]", "unknown setting 'networks'"),
        ("[network]\nunits = [4, 0]", "setting network.units: input should be greater than"),
        ("[network]\nunits = [4, 'x']", "setting network.units: input should be a valid integer"),
        ("[network]\ncell = ['gru', 'gruu']", "setting network.cell: input should be 'gru'"),
        ("[network]\nunits = {low = 4.0, high = 8.0}", "network.units: input should be a"),
        ("[network]\nunits = {low = 0, high = 8}", "network.units: input should be greater"),
        ("[network]\nunits = {low = 4, high = 9999}", "network.units: input should be less"),
        ("[network]\nunits = {low = 4}", "network.units: expected a range with low and high"),
        ("[network]\nunits = {low = 8, high = 4}", "network.units: `low <= high` must hold"),
        ("[network]\nunits = {low = 4, high = 8, by = 2}", "unknown key 'by'"),
        ("[network]\nunits = {low = true, high = 8}", "low: expected a number, received True"),
        ("[network]\nunits = {low = 4, high = 9, step = 2}", "high to be low and some steps"),
        ("[network]\nunits = {low = 4, high = 8, step = 0}", "network.units: `step > 0` must hold"),
        (
            "[network]\nunits = {low = 4, high = 8, step = 0.5}",
            "network.units: input should be a valid",
        ),
        ("[network]\nunits = {low = 4, high = 8, step = 2, log = true}", "`log`"),
        ("[network]\nunits = {low = 4, high = 8, log = 1}", "log: expected true or false"),
        ("[network]\ndropout = {low = 0.0, high = 0.5, log = true}", "dropout: `low > 0` must"),
        ("[network]\ndropout = {low = 0.0, high = inf}", "high: expected a number, received inf"),
        ("[corpus]\nvalidation_share = [0.1, 0.2]", "compared on the same rows"),
        ("[training]\nmetric = ['loss', 'accuracy']", "the trials are compared by it"),
        ("[training]\nseed = [1, 2]", "training.seed cannot be searched"),
        ('[network]\nsize = ["small", "large"]', "network.size cannot be searched: it stands for"),
        ("[training]\ncalibration = [true, false]", "training.calibration cannot be searched"),
        ("[reject]\ntarget_precision = [0.9]", "reject.target_precision cannot be searched"),
        ("[training", "not valid TOML"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_file(space, text, message):
    with pytest.raises(ConfigError) as caught:
        space(text)
    assert message in str(caught.value)
    assert "space.toml: " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_value_that_only_makes_no_sense_beside_others_is_left_to_the_trials(space):
    found = space("[network]\ncell = ['gru', 'lstm']\nreset_after = [true, false]")
    with pytest.raises(CombinationError, match="only a GRU has"):
        search_space.applied(Config(), {"network.cell": "lstm", "network.reset_after": False})
    lstm = load_config(assignments=["network.cell=lstm"])
    assert space("[network]\nreset_after = [true, false]", lstm)
    assert len(found) == 2


def test_settings_are_applied_over_the_others():
    config = load_config(assignments=["network.units=7"])
    changed = search_space.applied(config, {"network.ngrams": [1], "training.batch_size": 8})
    assert (changed.network.units, changed.network.ngrams) == (7, (1,))
    assert changed.training.batch_size == 8


def test_the_default_space_of_sequences_has_no_setting_of_texts():
    of_texts = search_space.load(None, Config())
    of_sequences = search_space.load(None, Config(), "sequence")
    assert of_texts.keys() - of_sequences.keys() == {
        "network.embedding_size",
        "network.ngrams",
        "network.spelling",
        "network.word_dropout",
    }
