"""What an account may do follows the groups of its owner's newest token, in both directions.

The plugin reads the groups as it makes an account and at a login with a browser, and never again: somebody who was
taken out of every group kept the API, and an administrator who was one no more stayed one.
docs/decisions/mlflow/0023-groups.md says what counts when.
"""


def install() -> None:
    """Puts the mends in place that are not in the way of each request (those: mlflow_sso.shortcuts.accounts)."""
    from mlflow_sso.groups import accounts, leavers, pages, record, refusals

    for each in (record, accounts, refusals, pages, leavers):
        each.install()
