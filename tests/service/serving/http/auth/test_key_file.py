"""The file of API keys: what is written there, and what is refused."""

import hashlib
from datetime import date
from pathlib import Path

import pytest
from gatewise.service.serving.http.auth import key_file
from gatewise.service.serving.http.auth.key_file import KeyEntry, KeysError, Role, make_key

GOOD = KeyEntry(name="web", role=Role.PREDICT, sha256="0" * 64).line()


def test_a_key_is_long_its_own_and_kept_as_its_hash_alone() -> None:
    made = [make_key("web", Role.ADMIN, date(2030, 1, 31)) for _ in range(100)]
    assert len({key for key, _ in made}) == 100
    for key, entry in made:
        assert key.startswith("gw_")
        assert len(key) == len("gw_") + 43
        assert entry.sha256 == hashlib.sha256(key.encode()).hexdigest()
        assert key not in entry.line()
        assert key_file.parse(entry.line().encode(), Path("keys")) == [entry]


@pytest.mark.parametrize("name", ["", "x" * 65, "two\nlines", "\x1b[31m", 'a"b', "nul\0"])
def test_a_name_that_would_not_look_well_in_a_log(name: str) -> None:
    with pytest.raises(KeysError, match="expected a name of 1 to 64 letters"):
        make_key(name, Role.PREDICT)


@pytest.mark.parametrize("name", ["web", "Büro 7", "ci@example.org", "a/b:c+d-e_f."])
def test_a_name(name: str) -> None:
    assert make_key(name, Role.PREDICT)[1].name == name


class TestReading:
    @pytest.mark.parametrize(
        ("line", "reason"),
        [
            ("nonsense", "line 2: expected a JSON object"),
            ("[]", "line 2: expected a JSON object"),
            ("{}", "line 2, name: it is missing"),
            ('"gw_secret"', "line 2: expected a JSON object"),
            (GOOD.replace("predict", "root"), "line 2, role: expected predict or admin"),
            (GOOD.replace("0000", "00G0"), "line 2, sha256: not as gatewise key writes it"),
            (GOOD.replace("0000", "000"), "line 2, sha256: not as"),
            (GOOD.replace("web", ""), "line 2, name: not as"),
            (GOOD.replace("}", ', "expires": "soon"}'), "line 2, expires: not as"),
            (GOOD.replace("}", ', "expires": 1}'), "line 2, expires: not as"),
            (GOOD.replace("}", ', "key": "gw_secret"}'), "line 2: expected no other member"),
        ],
    )
    def test_a_line_that_is_no_entry_is_named_and_not_repeated(
        self, line: str, reason: str
    ) -> None:
        with pytest.raises(KeysError) as error:
            key_file.parse(f"{GOOD}\n{line}\n".encode(), Path("the/keys"))
        assert str(error.value).startswith(f"the/keys, {reason}")
        assert "secret" not in str(error.value)

    @pytest.mark.parametrize("content", [b"", b"\n \n"])
    def test_a_file_without_a_key(self, content: bytes) -> None:
        with pytest.raises(KeysError, match="there is no key in it: make one with gatewise key"):
            key_file.parse(content, Path("keys"))

    def test_bytes_that_are_no_text(self) -> None:
        with pytest.raises(KeysError, match="line 1"):
            key_file.parse(b"\xff\xfe\n", Path("keys"))

    def test_a_file_that_is_too_large(self, tmp_path: Path) -> None:
        path = tmp_path / "keys"
        path.write_bytes(b"\n" * (1024 * 1024 + 1))
        with pytest.raises(KeysError, match="at most 1,048,576 bytes"):
            key_file.read(path)

    def test_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(KeysError, match="cannot be read: No such file or directory"):
            key_file.read(tmp_path / "keys")
