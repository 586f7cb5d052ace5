from service.classifier import Classifier
from training.evaluation.latency import measure


def test_a_model_is_measured_as_it_serves(multi_label_folder):
    classifier = Classifier.load(multi_label_folder)
    asked = []
    encode = classifier.encode
    classifier.encode = lambda texts: asked.append(len(texts)) or encode(texts)
    file = classifier.artifact.folder.model
    texts = ["red " * words for words in (1, 2, 3, 4, 5)]
    found = measure("by hand", file, classifier, texts)
    assert (found.name, found.file) == ("by hand", "onnx/model.onnx")
    assert found.bytes == len(file.read_bytes())
    assert found.tokens == 4  # the begin mark and the three words of the text in the middle
    assert found.latency_ms > 0
    assert found.texts_per_second > 0
    # Each of the two ways several times, so that one slow call counts for nothing.
    assert asked.count(1) > 5
    assert asked.count(len(texts)) > 5
