"""``l1db-services``: start, stop and show the embedded PostgreSQL, and Cassandra."""

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
    """Stop the server, and Cassandra if it runs; nothing happens if none does."""
    from pipeline_runtime.services import embedded_server, trial_cassandra

    server = embedded_server()
    server.stop()
    click.echo(f"PostgreSQL in {server.data} is stopped")
    trial_cassandra().stop()
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


@main.group()
def cassandra() -> None:
    """Run Apache Cassandra on loopback, for tests and trials of the L1 store.

    It needs Java 17 and Maven, which fetches it once (63 MiB). Everybody on this
    machine can connect to it.
    """


@cassandra.command("start")
@click.option(
    "--nodes",
    type=click.IntRange(1, 9),
    help="How many; those that there are, or one, if not given.",
)
@plain_errors
def start_cassandra(nodes: int | None) -> None:
    """Start the nodes; a second start changes nothing. Prints CASSANDRA_HOSTS."""
    from pipeline_runtime.services import trial_cassandra

    servers = trial_cassandra()
    servers.start(nodes or 0)
    click.echo(f"export CASSANDRA_HOSTS={servers.hosts}")
    finish("started", "create_l1_schema -c cfg/l1db-cassandra.cfg")


@cassandra.command("stop")
@click.option("--wipe", is_flag=True, help="Remove ALL DATA of the nodes, too.")
@plain_errors
def stop_cassandra(wipe: bool) -> None:
    """Stop the nodes; nothing happens if none runs."""
    from pipeline_runtime.services import trial_cassandra

    servers = trial_cassandra()
    servers.stop(wipe=wipe)
    state = "removed" if wipe else "stopped"
    click.echo(f"Cassandra in {servers.home} is {state}")
    finish(state, "l1db-services cassandra start")


@cassandra.command("status")
@click.pass_context
@plain_errors
def cassandra_status(context: click.Context) -> None:
    """Tell which nodes answer; exit code 3 if one does not, or there is none."""
    from pipeline_runtime.services import trial_cassandra

    servers = trial_cassandra()
    for node in servers.nodes:
        state = "running" if node.answers() else "stopped"
        click.echo(f"node {node.number} at {node.address} is {state}")
    if not servers.is_running():
        context.exit(3)


if __name__ == "__main__":
    main()
