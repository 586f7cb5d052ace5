"""Lay a model folder, these pages and the libraries they need into one folder to serve.

    python examples/browser/lay_site.py MODEL --out SITE [--precision P] [--node-modules DIR]

Owns which files the site has, and the two lists of them that the pages and the service worker read.
Downloads nothing: the libraries are those that npm has installed.
"""

import base64
import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Annotated

import typer
from gatewise.service.model.model_documents import DTYPES, Precision
from gatewise.service.model.model_folder import read_model_folder
from gatewise.vocab.errors import GatewiseError

HERE = Path(__file__).resolve().parent
PAGES = ("index.html", "classify.js", "style.css", "worker.js")
VECTOR_PAGES = ("vectors.html", "vectors.js")
LIBRARIES = (
    "@huggingface/transformers/dist/transformers.web.min.js",
    "onnxruntime-web/dist/ort.wasm.min.mjs",
    "onnxruntime-web/dist/ort-wasm-simd-threaded.mjs",
    "onnxruntime-web/dist/ort-wasm-simd-threaded.wasm",
)
VECTORS = "test_vectors.json"


class SiteError(GatewiseError):
    """Something that the site needs is not there."""


def lay(model: Path, out: Path, node_modules: Path, precision: Precision | None = None) -> int:
    """Writes the site.

    Args:
        model: A model folder, which is verified first; where it has test vectors, as those from
            `gatewise export` do, there is a page for them.
        out: The folder to write, which must be new or empty.
        node_modules: Where npm has installed Transformers.js.
        precision: Which of the folder's networks is loaded; None for the most exact one.

    Returns:
        How many bytes the site has.

    Raises:
        GatewiseError: If the model folder is damaged or a file is missing.
    """
    loaded = read_model_folder(model, precision)
    if out.exists() and any(out.iterdir()):
        raise SiteError(f"{out}: expected a new folder or an empty one")
    folder = loaded.folder
    vectors = folder.path / VECTORS
    parts = [folder.config, folder.tokenizer, folder.tokenizer_config, loaded.model_file]
    pages = list(PAGES)
    if vectors.is_file():
        parts.append(vectors)
        pages += VECTOR_PAGES
    copies = {HERE / name: name for name in pages}
    copies |= {part: f"model/{folder.name_of(part)}" for part in parts}
    copies |= {node_modules / name: f"lib/{Path(name).name}" for name in LIBRARIES}
    for source, name in copies.items():
        if not source.is_file():
            raise SiteError(f"{source}: is missing")
        target = out / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    _allow_import_map(out / "index.html")
    site = {
        "dtype": DTYPES[loaded.precision],
        "network": copies[loaded.model_file],
        "vectors": copies.get(vectors),
    }
    (out / "site.json").write_text(json.dumps(site), encoding="utf-8")
    return _list_files(out)


def _allow_import_map(page: Path) -> None:
    """Names the page's import map in its policy, by the digest of what stands between its tags."""
    text = page.read_text(encoding="utf-8")
    (written,) = re.findall(r'<script type="importmap">(.*?)</script>', text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(written.encode()).digest()).decode()
    page.write_text(text.replace("@IMPORT_MAP@", f"sha256-{digest}"), encoding="utf-8")


def _list_files(out: Path) -> int:
    """Writes the list for the service worker; gives the bytes of all the files."""
    files = sorted(path for path in out.rglob("*") if path.is_file())
    digest = hashlib.sha256()
    for path in files:
        contents = path.read_bytes()
        digest.update(f"{path.relative_to(out).as_posix()} {len(contents)} ".encode() + contents)
    names = ["./", *(path.relative_to(out).as_posix() for path in files)]
    lines = f"const VERSION = {json.dumps(digest.hexdigest()[:16])};\nconst FILES = "
    (out / "files.js").write_text(f"{lines}{json.dumps(names)};\n", encoding="utf-8")
    return sum(path.stat().st_size for path in files)


def main(
    model: Annotated[Path, typer.Argument(help="A model folder.")],
    out: Annotated[Path, typer.Option(help="Folder to write, which must be new.")],
    node_modules: Annotated[Path, typer.Option(help="Where npm has installed.")] = Path(
        "node_modules"
    ),
    precision: Annotated[
        Precision | None, typer.Option(help="Which network is loaded; the most exact if not told.")
    ] = None,
) -> None:
    """Lay a site that classifies on the device."""
    try:
        size = lay(model, out, node_modules, precision)
    except GatewiseError as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(1) from None
    typer.echo(
        f"{out}: {size / 1e6:.1f} MB; serve it with: python -m http.server --directory {out}"
    )


if __name__ == "__main__":
    typer.run(main)
