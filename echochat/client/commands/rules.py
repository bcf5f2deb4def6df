"""
``echochat rules``: what access rules allow, and why.
"""

import click

from echochat.identity.accounts import parse_groups, read_accounts
from echochat.identity.files import FileRefused
from echochat.identity.rule_file import read_rules
from echochat.identity.rules import ACTIONS, Person, decide
from echochat.wire.names import is_name, is_topic


@click.group()
def command() -> None:
    """
    Look at access rules, which a server is given by --rules FILE.
    """


@command.command()
@click.argument("file", type=click.Path(dir_okay=False))
@click.argument("name", required=False)
@click.argument("topic", required=False)
@click.option("--guest", is_flag=True, help="NAME is a guest's.")
@click.option("--group", "groups", multiple=True, metavar="GROUP", help="A group of NAME's. Repeatable.")
@click.option("--accounts", type=click.Path(dir_okay=False), metavar="FILE", help="Accounts that tell NAME's groups.")
def check(
    file: str, name: str | None, topic: str | None, guest: bool, groups: tuple[str, ...], accounts: str | None
) -> None:
    """
    Explain what NAME may do with TOPIC; without them, tell whether FILE is in order.
    """
    try:
        rules = read_rules(file)
        if name is None:
            click.echo(f"{file} is in order: {len(rules)} rules")
            return
        if topic is None:
            raise click.UsageError("give a TOPIC, too")
        if not is_name(name):
            raise ValueError(f"{name} is not a name")
        if not is_topic(topic):
            raise ValueError(f"{topic} is not a topic")
        person = Person(name, frozenset() if guest else parse_groups(groups) | _groups(accounts, name), guest)
    except (FileRefused, ValueError) as error:
        raise click.ClickException(str(error)) from None
    for action in ACTIONS:
        decision = decide(rules, person, action, topic)
        click.echo(f"{action:<12}{'yes' if decision.allowed else 'no':<5}{decision.why}")


def _groups(path: str | None, name: str) -> frozenset[str]:
    """
    :raises FileRefused: the accounts cannot be read.
    """
    account = read_accounts(path).find(name) if path is not None else None
    return frozenset() if account is None else account.groups
