"""``tieout serve``: the reserve page, the API, the desk, and their metrics."""

from typing import Annotated

import typer

from tieout import settings
from tieout.commands.options import Dsn
from tieout.output import OUTPUT
from tieout.running import check_metrics_port, listening

_PORT_MAX = 65535


def serve(
    host: Annotated[str, typer.Option("--host", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=_PORT_MAX, help="The port of pages and API.")] = 8080,
    metrics_port: Annotated[
        int, typer.Option("--metrics-port", min=0, max=_PORT_MAX, help="The port of /metrics; 0: none.")
    ] = 0,
    chain_age_max_s: Annotated[
        int,
        typer.Option("--chain-age-max-s", min=1, help="How old the cut-off block may be before figures are unknown."),
    ] = 900,
    statement_age_max_s: Annotated[
        int, typer.Option("--statement-age-max-s", min=1, help="The same for a custodian's statement.")
    ] = 432_000,
    requests_per_s: Annotated[
        float, typer.Option("--requests-per-s", min=0.1, help="How often one client may ask, in the long run.")
    ] = 50.0,
    requests_burst: Annotated[int, typer.Option("--requests-burst", min=1, help="And how often at once.")] = 200,
    https: Annotated[
        bool, typer.Option("--https", help="It is reached over HTTPS: cookies and headers say so.")
    ] = False,
    dsn: Dsn = None,
) -> None:
    """Serve the reserve page, the API and the desk until interrupted."""
    from tieout_web.app import create_app
    from tieout_web.metrics import serve_metrics
    from tieout_web.serving import Server
    from tieout_web.settings import WebSettings

    check_metrics_port(host, metrics_port, "--metrics-port")
    app = create_app(
        WebSettings(
            settings.database_dsn(dsn),
            chain_age_max_s=chain_age_max_s,
            statement_age_max_s=statement_age_max_s,
            requests_per_s=requests_per_s,
            requests_burst=requests_burst,
            secure_cookies=https,
        )
    )
    if metrics_port:
        serve_metrics(app.state.tieout.board, app.state.tieout.stream, host, metrics_port)
        OUTPUT.note(f"metrics on http://{host}:{metrics_port}/metrics")
    with listening(host, port, "--host and --port") as door:
        OUTPUT.note(f"serving http://{host}:{port}/")
        Server(app, host, port).run([door])
