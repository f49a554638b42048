"""Log lines for machines: one JSON object a line, and never a header, key or signature."""

from __future__ import annotations

import json
import logging
import sys
import time

_ROOT = "freehold"


class Lines(logging.Formatter):
    """Formats a record as JSON: time (UTC), level, source, event, then its fields."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname.lower(),
            "source": record.name.removeprefix(_ROOT + "."),
            "event": record.getMessage(),
        }
        fields = getattr(record, "fields", None)
        if isinstance(fields, dict):
            line |= fields
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def setup(level: str) -> None:
    """Send this package's log to standard error; uvicorn speaks only of what goes wrong."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines())
    for name, at in ((_ROOT, level.upper()), ("uvicorn", "WARNING")):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.setLevel(at)
        logger.propagate = False


def fields(**values: object) -> dict[str, dict[str, object]]:
    """The ``extra`` argument of a log call that carries ``values`` as fields of its line."""
    return {"fields": values}
