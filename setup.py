"""The four folders of the repository as one package, `gatewise`.

`vocab/`, `service/` and `training/` stand at the top of the repository and are installed as
`gatewise.vocab`, `gatewise.service` and `gatewise.training`; everything else is in pyproject.toml.
"""

from setuptools import find_packages, setup

FOLDERS = {"gatewise": "gatewise"} | {
    f"gatewise.{room}": room for room in ("vocab", "service", "training")
}

setup(
    packages=[
        ".".join(filter(None, (package, subpackage)))
        for package, folder in FOLDERS.items()
        for subpackage in ("", *find_packages(folder))
    ],
    package_dir=FOLDERS,
)
