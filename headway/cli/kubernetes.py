"""`headway kubernetes`."""

from __future__ import annotations

import click

from headway.cli.group import Group


@click.group(cls=Group)
def kubernetes() -> None:
    """Prepare a Kubernetes cluster for jobs with `engine: kubernetes`."""


@kubernetes.command()
@click.option("--namespace", required=True, help="The namespace in which the pods of jobs run.")
@click.option("--service-account", default="headway", show_default=True, help="The service account of the server.")
def role(namespace: str, service_account: str) -> None:
    """Print the service account, Role and RoleBinding that the server needs, for `kubectl apply -f -`."""
    import yaml

    from headway.engines.kubernetes.role import manifests

    click.echo(yaml.safe_dump_all(manifests(namespace, service_account), sort_keys=False), nl=False)
