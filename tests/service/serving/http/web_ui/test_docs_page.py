"""`/docs`: the files that it loads are those that were published, and it loads no others."""

import gzip
import hashlib
import re
from pathlib import Path

import pytest

from benchmarks.lib import chromium
from gatewise.service.serving.http.web_ui.docs_page import docs_page

FOLDER = Path(__file__).parents[5] / "service" / "serving" / "http" / "web_ui" / "swagger_ui"
README = (FOLDER / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def client(serve_app, make_app, classifier):
    return serve_app(make_app({"model": classifier}))


def test_the_files_are_those_of_the_named_version_with_their_licences():
    digests = dict(re.findall(r"^\| `([\w.-]+)` \| ([0-9a-f]{64}) \|$", README, re.MULTILINE))
    assert set(digests) == {path.stem for path in FOLDER.glob("*.gz")}
    for name, digest in digests.items():
        contents = gzip.decompress((FOLDER / f"{name}.gz").read_bytes())
        assert hashlib.sha256(contents).hexdigest() == digest
    assert "Apache License" in (FOLDER / "LICENSE").read_text(encoding="utf-8")
    assert "SmartBear" in (FOLDER / "NOTICE").read_text(encoding="utf-8")
    assert (FOLDER / "swagger-ui-bundle.js.LICENSE.txt").stat().st_size > 1000


def test_the_page_refers_to_files_of_the_service_relatively_and_has_a_policy(client):
    answer = client.get("/docs")
    addresses = re.findall(r"""(?:href|src)="([^"]*)"|url: '([^']*)'""", answer.text)
    found = {one or other for one, other in addresses}
    assert found == {
        *("openapi.json", "page/icon.svg"),
        *("page/swagger-ui.css", "page/swagger-ui-bundle.js"),
    }
    for address in found:
        assert client.get(f"/{address}").status_code == 200
    assert answer.headers["content-security-policy"] == docs_page("x")[1]
    assert client.get("/page/swagger-ui.css.gz").status_code == 404


def test_a_file_is_sent_compressed_to_all_who_read_that(client):
    digests = set()
    for encoding in ("gzip, br", "identity"):
        answer = client.get("/page/swagger-ui.css", headers={"Accept-Encoding": encoding})
        assert answer.headers["content-type"] == "text/css; charset=utf-8"
        assert answer.headers.get("content-encoding") == ("gzip" if "gzip" in encoding else None)
        digests.add(hashlib.sha256(answer.content).hexdigest())
    assert digests == set(re.findall(r"swagger-ui\.css` \| (\w+)", README))


def test_a_browser_shows_the_routes_without_a_complaint(client, tmp_path):
    if chromium.installed() is None:
        pytest.skip("Chromium is not on the path")
    with chromium.Chromium(tmp_path / "profile") as browser:
        page = browser.page()
        page.go(f"{client.base_url}/docs")
        page.wait_for("document.querySelectorAll('.opblock').length > 20", 20)
        assert browser.complaints == []
        own = (str(client.base_url), "about:", "data:", "chrome:", "chrome-untrusted:")
        assert [url for url in browser.requested if not url.startswith(own)] == []
