"""The validation page says what the model gives now."""

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def test_the_validation_page_is_what_its_command_writes(monkeypatch: Any):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import validation  # pyright: ignore[reportMissingImports, reportUnknownVariableType]

    page: Any = validation  # pyright: ignore[reportUnknownVariableType]
    kept = (ROOT / "docs" / "validation.md").read_text(encoding="utf-8")
    assert kept.startswith(page.page(page.rows()).rstrip()), "run benchmarks/validation.py"
    assert page.ARCHIVE_HEAD in kept
    sys.modules.pop("validation")
