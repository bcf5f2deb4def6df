"""
Who is who, and who may do what: accounts, tokens, access rules.

What a server needs is one object for each: :class:`AccountsChecker` (``--auth argon2:FILE``), :class:`Tokens`
(``--tokens FILE``) and :class:`AccessRules` (``--rules FILE``), which all have ``reload()``, and
:class:`LoginThrottle`.
"""
