"""The same answers in less time: what the plugin does for each request, without what it repeats.

Nothing here is remembered that could be taken back: accounts are read from the database for each request, as the
plugin reads them. docs/decisions/mlflow/0017-shortcuts.md says what each costs without it.
"""
