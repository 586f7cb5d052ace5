from dataclasses import replace

from gatewise.service.model.classifier import Classifier
from gatewise.training.evaluation.evaluate import Report
from gatewise.training.evaluation.model_benchmark import accuracy_losses, measure

METRICS = Report(accuracy=0.9, macro_f1=0.8, log_loss=0.3, ece=0.1, rows=10, labels=())


def test_a_model_is_measured_as_it_serves(multi_label_folder):
    classifier = Classifier.load(multi_label_folder)
    batch_sizes = []
    encode = classifier.encode
    classifier.encode = lambda texts: batch_sizes.append(len(texts)) or encode(texts)
    texts = ["red " * words for words in (1, 2, 3, 4, 5)]
    found = measure(classifier, METRICS, texts)
    assert (found.name, found.precision) == ("32-bit floats", "fp32")
    assert found.file == "onnx/model.onnx"
    assert found.bytes == len(classifier.artifact.folder.model.read_bytes())
    assert found.metrics == {"accuracy": 0.9, "macro_f1": 0.8}
    assert found.tokens == 4  # the begin mark and the three words of the text in the middle
    assert found.latency_ms > 0
    assert found.texts_per_second > 0
    # Each of the two ways several times, so that one slow call counts for nothing.
    assert batch_sizes.count(1) > 5
    assert batch_sizes.count(len(texts)) > 5


def test_a_precision_that_costs_more_than_the_budget_is_reported(multi_label_folder):
    exact = measure(Classifier.load(multi_label_folder), METRICS, ["red"])
    metrics = [{"accuracy": accuracy, "macro_f1": 0.8} for accuracy in (0.898, 0.897)]
    halves = replace(exact, precision="fp16", file="onnx/model_fp16.onnx", metrics=metrics[0])
    file = "onnx/model_quantized.onnx"
    integers = replace(exact, precision="int8", file=file, metrics=metrics[1])
    (finding,) = accuracy_losses([exact, halves, integers])
    assert finding == (
        "8-bit integers (onnx/model_quantized.onnx): accuracy 0.8970, where 32-bit floats have "
        "0.9000: use onnx/model.onnx where that counts"
    )


def test_a_precision_that_predicts_numbers_worse_is_reported(multi_label_folder):
    exact = measure(Classifier.load(multi_label_folder), METRICS, ["red"])
    models = [replace(exact, metrics={"rmse": rmse, "mae": 1.0}) for rmse in (2.0, 2.01, 2.03)]
    (finding,) = accuracy_losses(models)
    assert "RMSE 2.0300, where 32-bit floats have 2.0000" in finding
