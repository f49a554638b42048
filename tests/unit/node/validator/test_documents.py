"""Where the documents of a subnet are found, and what is said where they are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from freehold.domain.errors import UsageError
from freehold.node.validator.documents import find
from unit.node.validator.scorers import write_subnet


def test_a_uri_is_followed_in_a_network_of_this_machine_only(tmp_path: Path) -> None:
    file = write_subnet(tmp_path / "digits")
    uri = file.parent.as_uri()
    assert find("", "", uri=uri, local=True).source.file == file
    with pytest.raises(UsageError, match="followed only in a network of this machine") as refused:
        find("", "", uri=uri, local=False)
    assert "--scorer scorer.py:score" in refused.value.remedy


@pytest.mark.parametrize(
    ("uri", "where"),
    [
        ("https://example.org/d", "but at https://example.org/d"),
        ("file:///gone", "but at file:///gone"),
        ("file://elsewhere/tmp", "but at file://elsewhere/tmp"),
        ("http://[", "but at"),
        ("", "but at no place it names"),
    ],
)
def test_documents_that_are_elsewhere_are_to_be_fetched(uri: str, where: str) -> None:
    with pytest.raises(UsageError, match="not on this machine") as refused:
        find("", "", uri=uri, local=True)
    assert where in refused.value.message
