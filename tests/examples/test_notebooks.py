"""The example notebooks run from the first cell to the last, and show what they say."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

EXAMPLES = Path(__file__).parents[2] / "examples"
NOTEBOOKS = sorted((EXAMPLES / "notebooks").glob("*.ipynb"))


def test_every_notebook_is_listed_and_without_output():
    readme = (EXAMPLES / "notebooks" / "README.md").read_text(encoding="utf-8")
    for path in NOTEBOOKS:
        assert f"({path.name})" in readme
        cells = nbformat.read(path, as_version=4).cells
        assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)


@pytest.fixture(scope="module")
def execute(tmp_path_factory):
    """Executes a notebook in a folder of its own that lies as the examples do."""

    def run(name):
        folder = tmp_path_factory.mktemp("examples")
        (folder / "languages").symlink_to(EXAMPLES / "languages")
        (folder / "notebooks").mkdir()
        notebook = nbformat.read(EXAMPLES / "notebooks" / f"{name}.ipynb", as_version=4)
        client = NotebookClient(notebook, timeout=900, kernel_name="python3")
        return client.execute(cwd=str(folder / "notebooks"))

    return run


@pytest.fixture(scope="module")
def executed(execute):
    return execute("frame_to_service")


def outputs_after(notebook, code):
    (cell,) = (cell for cell in notebook.cells if cell.source.startswith(code))
    return cell.outputs


def printed_after(notebook, code):
    outputs = outputs_after(notebook, code)
    return "".join(each.text for each in outputs if each.get("name") == "stdout")


def test_a_frame_becomes_a_served_model(executed):
    table = outputs_after(executed, "model = gatewise.train")
    assert "5: de, el, en, fr, ja" in table[-1].data["text/html"]
    # The bar as it was updated last, in the place of all that it showed before.
    (bar,) = (each for each in table if "<progress" in each.get("data", {}).get("text/html", ""))
    assert re.search(r"fitting: (\d+) of \1; epoch 3: loss ", bar.data["text/html"])
    for figure in ("model.curves()", "model.confusion()"):
        assert "image/png" in outputs_after(executed, figure)[-1].data
    assert "<iframe srcdoc=" in outputs_after(executed, "model.report()")[-1].data["text/html"]
    assert "<b>de</b>" in outputs_after(executed, "model.explain")[-1].data["text/html"]
    assert "'label': 'en'" in outputs_after(executed, "import json")[-1].data["text/plain"]
    assert outputs_after(executed, "server.terminate")[-1].data["text/plain"] in ("0", "-15")


def test_nothing_is_written_to_standard_error(executed):
    streams = [
        output.text
        for cell in executed.cells
        for output in cell.get("outputs", ())
        if output.output_type == "stream" and output.name == "stderr"
    ]
    assert not streams


def test_swapped_labels_are_found(execute):
    pytest.importorskip("cleanlab")
    notebook = execute("finding_wrong_labels")
    assert "suggested" in outputs_after(notebook, "import gatewise")[-1].data["text/html"]
    found = printed_after(notebook, "first = ")
    assert int(found.partition("%")[0]) >= 60
    files = outputs_after(notebook, "found.save")[-1].data["text/plain"]
    assert files == "['audit.html', 'label-studio.json', 'rows.csv']"
    shares = re.findall(
        r"([\d.]+)% of the labels are right", printed_after(notebook, "corrected = ")
    )
    before, after = map(float, shares)
    assert (before, after > before) == (92.0, True)


def test_a_model_gets_better_with_what_it_asked_for(execute):
    notebook = execute("labelling_in_rounds")
    table = outputs_after(notebook, "import gatewise")[-1].data["text/plain"]
    rounds = [line.split() for line in table.splitlines()[-4:]]
    assert [labels for labels, _ in rounds] == ["40", "80", "120", "160"]
    assert float(rounds[-1][1]) > float(rounds[0][1])
    assert "'predictions'" in outputs_after(notebook, "import json")[-1].data["text/plain"]
