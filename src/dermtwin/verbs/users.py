"""`dermtwin user` and `dermtwin token`: who may use a casebook through a server."""

from pathlib import Path

from dermtwin.casebook import Casebook, accounts
from dermtwin.casebook.accounts import Account, Role, Token, role_of
from dermtwin.errors import SettingsError


def add_user(
    name: str,
    *,
    casebook: str | Path,
    password: str | None = None,
    role: str = Role.VIEWER,
    openid: str | None = None,
) -> Account:
    """Make a user; from the first one, an admin, on everybody has to sign in.

    Args:
        name: 1 to 64 letters, digits or `.@+-_`.
        casebook: the casebook's folder or PostgreSQL URL.
        password: at least 10 characters; kept as its Argon2id hash.
        role: `viewer`, `contributor` or `admin`.
        openid: by which word another server (OpenID Connect) knows them.

    Raises:
        SettingsError: name, password, role or word cannot be one; or neither password nor word.
        CasebookError: there is such a user, the word is another user's, or the first one would be
            no admin.
        MissingExtraError: the extra `web` is not installed.
    """
    chosen = role_of(role)
    if password is None and openid is None:
        raise SettingsError(f"nothing would let {name} in; give a password or an OpenID word.")
    with Casebook.open(casebook) as opened:
        return accounts.add_account(opened, name, password=password, role=chosen, openid=openid)


def list_users(*, casebook: str | Path) -> tuple[Account, ...]:
    """All users, by name; raises CasebookError."""
    with Casebook.open(casebook) as opened:
        return accounts.accounts(opened)


def set_user_role(name: str, *, casebook: str | Path, role: str) -> None:
    """Give a user another role, at once in every process.

    Raises:
        SettingsError: there is no such role.
        CasebookError: no such user, or no admin would be left.
    """
    chosen = role_of(role)
    with Casebook.open(casebook) as opened:
        accounts.set_role(opened, name, role=chosen)


def set_user_password(name: str, *, casebook: str | Path, password: str) -> None:
    """Give a user another password; ends all their sessions and a lock.

    Raises:
        SettingsError: the password cannot be one.
        CasebookError: no such user.
        MissingExtraError: the extra `web` is not installed.
    """
    with Casebook.open(casebook) as opened:
        accounts.set_password(opened, name, password=password)


def set_user_openid(name: str, *, casebook: str | Path, openid: str | None) -> None:
    """Say by which word another server (OpenID Connect) knows a user; ends all their sessions.

    Args:
        name: the user.
        casebook: the casebook's folder or PostgreSQL URL.
        openid: the word, as that server writes it; None: by none any more.

    Raises:
        SettingsError: the word cannot be one.
        CasebookError: no such user, or the word is another user's.
    """
    with Casebook.open(casebook) as opened:
        accounts.set_openid(opened, name, openid=openid)


def remove_user(name: str, *, casebook: str | Path) -> None:
    """Remove a user with their tokens.

    Raises:
        CasebookError: no such user; or the only admin, while there are others.
    """
    with Casebook.open(casebook) as opened:
        accounts.remove_account(opened, name)


def add_token(
    *,
    casebook: str | Path,
    user: str,
    label: str,
    role: str | None = None,
    days: int | None = None,
) -> tuple[Token, str]:
    """Make a token by which a program uses the API in a user's name.

    Args:
        casebook: the casebook's folder or PostgreSQL URL.
        user: whose.
        label: what it is for.
        role: what it may do at most; unless given, as much as its user.
        days: how long it lasts; unless given, as long as its user.

    Returns:
        The token, and its text, which is nowhere kept.

    Raises:
        SettingsError: no label, days below 1, or a role that is none or above the user's.
        CasebookError: no such user.
    """
    chosen = None if role is None else role_of(role)
    with Casebook.open(casebook) as opened:
        return accounts.add_token(opened, user=user, label=label, role=chosen, days=days)


def list_tokens(*, casebook: str | Path, user: str | None = None) -> tuple[Token, ...]:
    """All tokens, or one user's, without their secrets; raises CasebookError."""
    with Casebook.open(casebook) as opened:
        return accounts.tokens(opened, user=user)


def remove_token(token: str, *, casebook: str | Path) -> None:
    """Remove a token by its public part; raises CasebookError."""
    with Casebook.open(casebook) as opened:
        accounts.remove_token(opened, token)
