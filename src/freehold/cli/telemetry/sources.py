"""``telemetry source``: who pushes readings without a key of its own: Prometheus, OpenTelemetry."""

from __future__ import annotations

from typing import Annotated

import typer

from freehold.cli.home import open_home
from freehold.cli.options import HomeOption, JsonOption, PasswordFileOption
from freehold.cli.screen import Screen, cancellable
from freehold.cli.telemetry.caller import (
    ServiceOption,
    TokenOption,
    calling,
    fields,
    locate,
    rows,
)

app = typer.Typer(
    name="source", help="Prometheus and OpenTelemetry, by token.", no_args_is_help=True
)
NameArgument = Annotated[str, typer.Argument(help="Name of the source: a-z, 0-9 and -.")]
PROMETHEUS = """\
# prometheus.yml
remote_write:
  - url: {url}/prometheus/write
    authorization: {{ type: Bearer, credentials: {token} }}"""
COLLECTOR = """\
# OpenTelemetry Collector
exporters:
  otlphttp/freehold:
    metrics_endpoint: {url}/otlp/v1/metrics
    headers: {{ authorization: "Bearer {token}" }}
service:
  pipelines:
    metrics: {{ receivers: [hostmetrics], exporters: [otlphttp/freehold] }}"""
PINNED = (
    "The service shows a certificate of its own: give it to the sender as its CA (in the "
    "service's home: tls.pem)."
)


@app.command()
def add(
    name: NameArgument,
    *,
    service: ServiceOption = "",
    token_file: TokenOption = None,
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a source; its token is shown this once, with settings to paste."""
    screen, target = Screen(as_json), open_home(home)
    with cancellable(), calling(home, service, token_file, password_file) as caller:
        made = fields(caller.post("/sources", {"name": name}))
        url = locate(home, target, service).url
    token = str(made["token"])
    snippets = [each.format(url=url, token=token) for each in (PROMETHEUS, COLLECTOR)]
    screen.emit({**made, "url": url, "prometheus": snippets[0], "collector": snippets[1]})
    screen.say(f"[green]✓[/] {name}; its readings are vouched for by the service, and never paid")
    screen.say(f"token (shown this once): [bold]{token}[/]")
    for each in snippets:
        screen.plain("\n" + each)
    if url.startswith("https:"):
        screen.tell(f"\n[dim]{PINNED}[/]")


@app.command("list")
def list_(
    *,
    service: ServiceOption = "",
    token_file: TokenOption = None,
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the sources."""
    screen = Screen(as_json)
    with cancellable(), calling(home, service, token_file, password_file) as caller:
        found = rows(caller.get("/sources"))
    screen.emit(found)
    screen.table("sources", ("name", "id"), [(each["name"], each["id"]) for each in found])


@app.command()
def remove(
    name: NameArgument,
    *,
    service: ServiceOption = "",
    token_file: TokenOption = None,
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Forget a source: its token lets nobody in any more; what it told stays."""
    screen = Screen(as_json)
    with cancellable(), calling(home, service, token_file, password_file) as caller:
        caller.delete(f"/sources/{name}")
    screen.emit({"removed": name})
    screen.say(f"[green]✓[/] {name} is forgotten")
