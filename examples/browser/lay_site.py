"""Build a static site from a model folder, these pages and the libraries they need.

    python examples/browser/lay_site.py MODEL --out SITE [--precision P] [--node-modules DIR]

Nothing is downloaded: the libraries are those that npm has installed.
"""

import base64
import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Annotated

import typer

from gatewise.service.model.model_documents import Precision
from gatewise.service.model.model_folder import read_model_folder
from gatewise.vocab.errors import GatewiseError

HERE = Path(__file__).resolve().parent
PACKAGE = HERE.parents[1] / "packages" / "js" / "src"
PAGES = ("index.html", "classify.js", "style.css", "worker.js")
VECTOR_PAGES = ("vectors.html", "vectors.js")
LIBRARIES = (
    "@huggingface/tokenizers/dist/tokenizers.min.mjs",
    "onnxruntime-web/dist/ort.wasm.min.mjs",
    "onnxruntime-web/dist/ort-wasm-simd-threaded.mjs",
    "onnxruntime-web/dist/ort-wasm-simd-threaded.wasm",
)
VECTORS = "test_vectors.json"


class SiteError(GatewiseError):
    """The site cannot be written, or a file that it needs is missing."""


def lay(model: Path, out: Path, node_modules: Path, precision: Precision | None = None) -> int:
    """Writes the site.

    Args:
        model: A model folder, which is verified first. If it has test vectors, as those from
            `gatewise export` do, the site has a page for them.
        out: The folder to write, new or empty.
        node_modules: The folder where npm has installed the libraries.
        precision: The precision of the network; None for the most exact one.

    Returns:
        The size of the site in bytes.

    Raises:
        GatewiseError: If the model folder is damaged or a file is missing, or the model reads
            sequences of numbers, which nobody types.
    """
    loaded = read_model_folder(model, precision)
    loaded.require_texts()
    if out.exists() and any(out.iterdir()):
        raise SiteError(f"{out}: expected a new folder or an empty one")
    folder = loaded.folder
    vectors = folder.path / VECTORS
    parts = [folder.config, folder.tokenizer, folder.manifest, loaded.model_file]
    pages = list(PAGES)
    if vectors.is_file():
        parts.append(vectors)
        pages += VECTOR_PAGES
    copies = {HERE / name: name for name in pages}
    copies |= {part: f"model/{folder.name_of(part)}" for part in parts}
    copies |= {node_modules / name: f"lib/{Path(name).name}" for name in LIBRARIES}
    copies |= {
        part: f"lib/gatewise-js/{part.name}"
        for part in PACKAGE.glob("*.js")
        if part.name != "node.js"
    }
    for source, name in copies.items():
        if not source.is_file():
            raise SiteError(f"{source}: no such file")
        target = out / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    _allow_import_map(out / "index.html")
    site = {
        "precision": loaded.precision,
        "network": copies[loaded.model_file],
        "vectors": copies.get(vectors),
    }
    (out / "site.json").write_text(json.dumps(site), encoding="utf-8")
    return _list_files(out)


def _allow_import_map(page: Path) -> None:
    """Allows the page's import map in its content security policy, by its digest."""
    text = page.read_text(encoding="utf-8")
    (import_map,) = re.findall(r'<script type="importmap">(.*?)</script>', text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(import_map.encode()).digest()).decode()
    page.write_text(text.replace("@IMPORT_MAP@", f"sha256-{digest}"), encoding="utf-8")


def _list_files(out: Path) -> int:
    """Writes the list of files for the service worker; returns the size of the site in bytes."""
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
    out: Annotated[Path, typer.Option(help="Folder to write, new or empty.")],
    node_modules: Annotated[Path, typer.Option(help="Folder where npm has installed.")] = Path(
        "node_modules"
    ),
    precision: Annotated[
        Precision | None, typer.Option(help="Precision of the network.  [default: the most exact]")
    ] = None,
) -> None:
    """Build a site that classifies on the device."""
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
