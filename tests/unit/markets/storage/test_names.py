from __future__ import annotations

import pytest
from hypothesis import given, settings

from freehold.domain.errors import UsageError
from freehold.markets.storage import names
from unit.markets.storage import strategies


@settings(deadline=None)
@given(strategies.names)
def test_parts_and_name_determine_each_other(name: str) -> None:
    assert names.check(name) == name
    assert "/".join(names.parts(name)) == name
    assert name.startswith(names.directory(name) + "/")


@pytest.mark.parametrize(
    "name", ["", "bucket", "bucket/", "/key", "/", "b/\0", "b/\ud800", "b/" + "x" * 1151]
)
def test_what_names_no_object_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        names.check(name)


@pytest.mark.parametrize("name", ["b/k", "b//", "b/a//k/", "b/../k", "b/" + "x" * 1150])
def test_keys_may_be_as_odd_as_s3_allows(name: str) -> None:
    assert names.check(name) == name


@pytest.mark.parametrize(
    "name", ["b/k", "b/a b/c.txt", "b/.bashrc", "b/é 漢", "b/at 9\u202fAM", "b/a..b"]
)
def test_plain_names_are_new_names(name: str) -> None:
    assert names.check_new(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "bad name//x", "b/", "b/a/", "b/..", "b/../k", "../k", "b/./k", "b/ k", "b/k ", "b/a\nb",
        "b/\x1b[2J", "b/\x7f", "b/\u202egpj.exe", "b/\u2028", "b/" + "x" * 256, "b", "/k",
    ],
)  # fmt: skip
def test_names_that_mislead_are_no_new_names(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        names.check_new(name)
    assert "bucket/key" in caught.value.remedy


@pytest.mark.parametrize("prefix", ["", "/", "/a", "b\0", "b" * 1153])
def test_what_names_no_directory_is_refused(prefix: str) -> None:
    with pytest.raises(UsageError):
        names.check_prefix(prefix)


def test_a_directory_is_what_lies_before_the_last_slash() -> None:
    assert names.directory("b/k") == "b"
    assert names.directory("b/a/k") == "b/a"
    assert names.directory("b/a/") == "b/a"
    assert names.check_prefix("b") == "b"
