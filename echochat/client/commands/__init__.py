"""
The subcommands of ``echochat``, one module for each; a module's ``command`` is what :mod:`echochat.client.cli` runs.
"""
