"""Looks at a running stack and names what is wrong with it.

A check reads what `observed.Observed` has found out and yields findings. To add one: write a function with
`registry.check` in a `checks_*` module, list its finding in `findings.KINDS`, and describe it in
docs/guides/troubleshooting.md. What only one target can know comes from `platforms.running.Running.troubles`.
"""
