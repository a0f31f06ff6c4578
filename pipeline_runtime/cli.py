"""``l1db-services``: start, stop and show the embedded PostgreSQL."""

import shlex

import click

from pipeline_runtime.edge import EdgeGroup, finish, plain_errors

__all__ = ["main"]


@click.group(cls=EdgeGroup)
def main() -> None:
    """Run the embedded PostgreSQL and show what each part of the project reads.

    Everything lies under $L1DB_HOME (default: .l1db in the checkout). A variable
    that is set already, such as L1DB_URL, replaces the embedded default.
    """


@main.command()
@plain_errors
def start() -> None:
    """Start the server and create the databases; a second start changes nothing."""
    from pipeline_runtime.services import start_services

    click.echo(f"PostgreSQL runs in {start_services().data}")
    finish("started", 'eval "$(l1db-services env)"')


@main.command()
@plain_errors
def stop() -> None:
    """Stop the server; nothing happens if it does not run."""
    from pipeline_runtime.services import embedded_server

    server = embedded_server()
    server.stop()
    click.echo(f"PostgreSQL in {server.data} is stopped")
    finish("stopped; the data are kept", "l1db-services start")


@main.command()
@click.pass_context
@plain_errors
def status(context: click.Context) -> None:
    """Tell whether the server answers; exit code 3 if it does not."""
    from pipeline_runtime.services import embedded_server

    server = embedded_server()
    running = server.is_running()
    click.echo(f"PostgreSQL in {server.data} is {'running' if running else 'stopped'}")
    if not running:
        context.exit(3)


@main.command()
@plain_errors
def env() -> None:
    """Print the environment to `eval` in a shell: eval "$(l1db-services env)"."""
    from pipeline_runtime.services import environment

    for name, value in environment().items():
        click.echo(f"export {name}={shlex.quote(value)}")


if __name__ == "__main__":
    main()
