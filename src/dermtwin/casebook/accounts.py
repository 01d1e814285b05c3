"""Who may use a casebook through a server: users, their passwords and their tokens.

A password is kept as its Argon2id hash (RFC 9106). A token is `dermtwin_ID_SECRET`; of its secret,
256 random bits, only the SHA-256 is kept, which suffices as such a secret cannot be guessed.
A user's `epoch` is a random word that every session names: a new one ends all sessions.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from dermtwin.casebook import auditing
from dermtwin.casebook.casebook import Casebook
from dermtwin.casebook.schema import TOKENS, USERS
from dermtwin.errors import CasebookError, MissingExtraError, SettingsError

if TYPE_CHECKING:
    from argon2 import PasswordHasher

WRONG_TRIES = 5
"""After so many wrong passwords in a row nobody signs in by that name for `LOCKED`."""

LOCKED = timedelta(minutes=15)

SHORTEST_PASSWORD = 10
_LONGEST_PASSWORD = 1000
_NAME = re.compile(r"[\w.@+-]{1,64}")
_TOKEN = re.compile(r"dermtwin_([0-9a-f]{12})_([\w-]{43})")
_LONGEST_LABEL = 100
_LONGEST_OPENID = 255  # of a subject, as OpenID Connect Core 1.0, 2 says
# A token's last use is noted this exactly, so that not every question writes.
_USE_NOTED = timedelta(hours=1)


class AccountError(CasebookError):
    """A change of users or tokens that does not fit those that there are."""


class Role(StrEnum):
    """What a user is trusted with; each may do all that those before may."""

    VIEWER = "viewer"
    CONTRIBUTOR = "contributor"
    ADMIN = "admin"

    @property
    def rank(self) -> int:
        """Its place, from 0."""
        return list(Role).index(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A user: name, role, since when (ISO 8601, UTC).

    Attributes:
        epoch: what sessions of this user name.
        locked_until: nobody signs in before (ISO 8601, UTC); None: not locked.
        has_password: whether a password opens it.
        openid: by which word another server (OpenID Connect) knows this user; None: by none.
    """

    name: str
    role: Role
    made_at: str
    epoch: str
    locked_until: str | None
    has_password: bool
    openid: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token, without its secret.

    Attributes:
        id: its public part.
        user: whose it is.
        label: what it is for, in its user's words.
        role: what it may do at most; never more than its user.
        made_at: when (ISO 8601, UTC).
        last_used: to the hour; None: never.
        expires_at: when it ends; None: with its user.
    """

    id: str
    user: str
    label: str
    role: Role
    made_at: str
    last_used: str | None
    expires_at: str | None


def role_of(text: str) -> Role:
    """The role of this name.

    Raises:
        SettingsError: there is none.
    """
    try:
        return Role(text)
    except ValueError as error:
        raise SettingsError(
            f"there is no role {text!r}; choose one of {', '.join(Role)}."
        ) from error


# --- users


def accounts(casebook: Casebook) -> tuple[Account, ...]:
    """All users, by name."""
    with casebook.reading() as connection:
        return tuple(map(_account, connection.execute(select(USERS).order_by(USERS.c.name))))


def has_accounts(casebook: Casebook) -> bool:
    """Whether there is any user; if not, whoever is at the machine may do everything."""
    with casebook.reading() as connection:
        return connection.scalar(select(USERS.c.name).limit(1)) is not None


def account(casebook: Casebook, name: str) -> Account | None:
    """The user of this name; None: there is none."""
    with casebook.reading() as connection:
        row = _row(connection, name)
    return None if row is None else _account(row)


def add_account(  # noqa: PLR0913 - all that may be said of a user
    casebook: Casebook,
    name: str,
    *,
    password: str | None,
    role: Role,
    openid: str | None = None,
    who: str | None = None,
) -> Account:
    """Make a user; without a password only another server's word (OpenID Connect) opens it.

    Raises:
        SettingsError: the name, the password or the word cannot be one.
        CasebookError: there is such a user, the word is another user's, or the first one would be
            no admin.
        MissingExtraError: the extra `web` is not installed.
    """
    if not _NAME.fullmatch(name):
        raise SettingsError(
            f"{name!r} cannot be a user's name; take 1 to 64 letters, digits or . @ + - _"
        )
    hashed = None if password is None else _hash(password)
    _refuse_odd_openid(openid)
    with casebook.writing() as connection:
        if _row(connection, name) is not None:
            raise AccountError(f"there is a user {name} already; choose another name.")
        if role is not Role.ADMIN and not _admins(connection):
            raise AccountError(
                f"{name} would be the first user here and could not add others; make the first "
                "user an admin."
            )
        _refuse_taken_openid(connection, name, openid)
        values = {
            "name": name,
            "password": hashed,
            "role": role,
            "made_at": _now(),
            "epoch": secrets.token_hex(16),
            "failed": 0,
            "locked_until": None,
            "openid": openid,
        }
        connection.execute(insert(USERS).values(values))
        known = {} if openid is None else {"openid": openid}
        _note(connection, "user add", name, who=who, role=role, **known)
        row = _row(connection, name)
    assert row is not None
    return _account(row)


def set_role(casebook: Casebook, name: str, *, role: Role, who: str | None = None) -> None:
    """Give a user another role; see `change_account`."""
    change_account(casebook, name, role=role, who=who)


def set_password(casebook: Casebook, name: str, *, password: str, who: str | None = None) -> None:
    """Give a user another password; see `change_account`."""
    change_account(casebook, name, password=password, who=who)


def change_account(
    casebook: Casebook,
    name: str,
    *,
    role: Role | None = None,
    password: str | None = None,
    who: str | None = None,
) -> Account:
    """Give a user another role, another password, or both in one transaction.

    A role counts at once and in every process; a password ends all sessions and a lock.

    Raises:
        SettingsError: the password cannot be one.
        CasebookError: no such user, or no admin would be left.
        MissingExtraError: the extra `web` is not installed.
    """
    hashed = None if password is None else _hash(password)
    with casebook.writing() as connection:
        _known(connection, name)
        user = update(USERS).where(USERS.c.name == name)
        if role is not None:
            if role is not Role.ADMIN:
                _keep_an_admin(connection, name)
            connection.execute(user.values(role=role))
            _note(connection, "user role", name, who=who, role=role)
        if hashed is not None:
            fresh = {"password": hashed, "epoch": secrets.token_hex(16), "failed": 0}
            connection.execute(user.values(fresh | {"locked_until": None}))
            _note(connection, "user password", name, who=who)
        return _account(_known(connection, name))


def set_openid(
    casebook: Casebook, name: str, *, openid: str | None, who: str | None = None
) -> None:
    """Say by which word another server knows a user (None: by none); ends all their sessions.

    Raises:
        SettingsError: the word cannot be one.
        CasebookError: no such user, or the word is another user's.
    """
    _refuse_odd_openid(openid)
    with casebook.writing() as connection:
        _known(connection, name)
        _refuse_taken_openid(connection, name, openid)
        fresh = {"openid": openid, "epoch": secrets.token_hex(16)}
        connection.execute(update(USERS).where(USERS.c.name == name).values(fresh))
        _note(connection, "user openid", name, who=who, openid=openid)


def end_sessions(casebook: Casebook, name: str) -> None:
    """Sign a user out everywhere."""
    with casebook.writing() as connection:
        fresh = update(USERS).where(USERS.c.name == name).values(epoch=secrets.token_hex(16))
        if connection.execute(fresh).rowcount:
            _note(connection, "sign out", name, who=name)


def remove_account(casebook: Casebook, name: str, *, who: str | None = None) -> None:
    """Remove a user with their tokens; sessions end at once.

    Raises:
        CasebookError: no such user; or the last admin, while there are others.
    """
    with casebook.writing() as connection:
        _known(connection, name)
        others = select(func.count()).select_from(USERS).where(USERS.c.name != name)
        if connection.scalar(others):
            _keep_an_admin(connection, name)
        connection.execute(delete(TOKENS).where(TOKENS.c.user_name == name))
        connection.execute(delete(USERS).where(USERS.c.name == name))
        _note(connection, "user remove", name, who=who)


def sign_in(casebook: Casebook, name: str, *, password: str) -> Account | None:
    """The user whom name and password open; None: they open nobody, or the name is locked.

    A try is counted before the password is compared, so that tries at once, in any number of
    processes, are no more than `WRONG_TRIES`. An unknown name takes as long as a wrong password.

    Raises:
        CasebookError: the casebook cannot be written.
        MissingExtraError: the extra `web` is not installed.
    """
    with casebook.writing() as connection:
        row = _row(connection, name)
        tries = 0 if row is None or row.password is None else _count_try(connection, row)
    hashed = row.password if row is not None and tries else _unknown_hash()
    if not (_is_password(hashed, password) and tries):
        if tries == WRONG_TRIES:
            with casebook.writing() as connection:
                _note(connection, "user locked", name, who=name)
        return None
    with casebook.writing() as connection:
        again = _row(connection, name)
        if again is None or again.password != hashed:
            return None
        fine = update(USERS).where(USERS.c.name == name).values(failed=0, locked_until=None)
        connection.execute(fine)
        _note(connection, "sign in", name, who=name)
    return _account(again)


def sign_in_openid(casebook: Casebook, openid: str) -> Account | None:
    """The user whom another server knows by this word; None: nobody here.

    A lock does not count: it is against guesses of a password.

    Raises:
        CasebookError: the casebook cannot be written.
    """
    with casebook.writing() as connection:
        found = select(USERS).where(USERS.c.openid == openid)
        row = connection.execute(found).one_or_none()
        if row is not None:
            _note(connection, "sign in", row.name, who=row.name, by="openid")
    return None if row is None else _account(row)


def _count_try(connection: Connection, row: Row[Any]) -> int:
    """Count one more try; tells which of `WRONG_TRIES` it is, 0: none may be made now."""
    if row.locked_until is not None and row.locked_until > _now():
        return 0
    tries = int(row.failed) + 1
    is_last = tries >= WRONG_TRIES
    # Locked before the last one is looked at; if it is right after all, the lock is lifted.
    values = {"failed": 0 if is_last else tries, "locked_until": _now(LOCKED) if is_last else None}
    connection.execute(update(USERS).where(USERS.c.name == row.name).values(values))
    return tries


# --- tokens


def tokens(casebook: Casebook, *, user: str | None = None) -> tuple[Token, ...]:
    """All tokens, or one user's, by user and age; expired ones too."""
    wanted = select(TOKENS).order_by(TOKENS.c.user_name, TOKENS.c.made_at, TOKENS.c.id)
    if user is not None:
        wanted = wanted.where(TOKENS.c.user_name == user)
    with casebook.reading() as connection:
        return tuple(map(_token, connection.execute(wanted)))


def add_token(  # noqa: PLR0913 - all that may be said of a token
    casebook: Casebook,
    *,
    user: str,
    label: str,
    role: Role | None = None,
    days: int | None = None,
    who: str | None = None,
) -> tuple[Token, str]:
    """Make a token for a user.

    Args:
        casebook: where.
        user: whose.
        label: what it is for.
        role: what it may do at most; None: as much as its user.
        days: how long it lasts; None: as long as its user.
        who: by whom, for the audit log.

    Returns:
        The token, and the text that is shown this once.

    Raises:
        SettingsError: no label, days below 1, or a role above the user's.
        CasebookError: no such user.
    """
    if not 1 <= len(label.strip()) <= _LONGEST_LABEL:
        raise SettingsError(
            f"say in 1 to {_LONGEST_LABEL} letters what the token is for (--label)."
        )
    if days is not None and not 1 <= days <= 36500:
        raise SettingsError(f"a token of {days} days is none; give 1 day or more.")
    secret = secrets.token_urlsafe(32)
    with casebook.writing() as connection:
        owner = _account(_known(connection, user))
        role = role or owner.role
        if role.rank > owner.role.rank:
            raise SettingsError(
                f"{user} is {owner.role} and cannot have a token for {role}; choose a lower role."
            )
        token_id = secrets.token_hex(6)
        connection.execute(
            insert(TOKENS).values(
                id=token_id,
                digest=_digest(secret),
                user_name=user,
                label=label.strip(),
                role=role,
                made_at=_now(),
                last_used=None,
                expires_at=None if days is None else _now(timedelta(days=days)),
            )
        )
        _note(connection, "token add", user, who=who, token=token_id, role=role)
        row = connection.execute(select(TOKENS).where(TOKENS.c.id == token_id)).one()
    return _token(row), f"dermtwin_{token_id}_{secret}"


def remove_token(casebook: Casebook, token_id: str, *, who: str | None = None) -> None:
    """Remove a token by its public part.

    Raises:
        CasebookError: there is none.
    """
    with casebook.writing() as connection:
        row = connection.execute(select(TOKENS).where(TOKENS.c.id == token_id)).one_or_none()
        if row is None:
            raise AccountError(f"there is no token {token_id}; `dermtwin token list` shows all.")
        connection.execute(delete(TOKENS).where(TOKENS.c.id == token_id))
        _note(connection, "token remove", row.user_name, who=who, token=token_id)


def bearer(casebook: Casebook, text: str) -> tuple[Account, Token] | None:
    """Whom a token speaks for, with the token as it now stands: its role never above its user's.

    Its use is noted, where the casebook can be written. None: it opens nothing, or has expired.
    """
    match = _TOKEN.fullmatch(text)
    if match is None:
        return None
    token_id, secret = match.groups()
    with casebook.reading() as connection:
        row = connection.execute(select(TOKENS).where(TOKENS.c.id == token_id)).one_or_none()
        owner = None if row is None else _row(connection, row.user_name)
    if row is None or owner is None or not hmac.compare_digest(row.digest, _digest(secret)):
        return None
    if row.expires_at is not None and row.expires_at <= _now():
        return None
    if row.last_used is None or row.last_used <= _now(-_USE_NOTED):
        _note_use(casebook, token_id)
    return _account(owner), _token(row, at_most=Role(owner.role))


def _note_use(casebook: Casebook, token_id: str) -> None:
    try:
        with casebook.writing() as connection:
            used = update(TOKENS).where(TOKENS.c.id == token_id).values(last_used=_now())
            connection.execute(used)
    except CasebookError:
        # On a read-only disk a token works all the same.
        return


# --- rows, passwords, times


def _row(connection: Connection, name: str) -> Row[Any] | None:
    return connection.execute(select(USERS).where(USERS.c.name == name)).one_or_none()


def _known(connection: Connection, name: str) -> Row[Any]:
    row = _row(connection, name)
    if row is None:
        raise AccountError(f"there is no user {name}; `dermtwin user list` shows all.")
    return row


def _refuse_odd_openid(openid: str | None) -> None:
    if openid is None:
        return
    is_fine = openid.isprintable() and openid == openid.strip()
    if not (is_fine and 1 <= len(openid) <= _LONGEST_OPENID):
        raise SettingsError(
            f"{openid!r} is no word by which a server knows somebody; take 1 to {_LONGEST_OPENID} "
            "letters, as it writes them, without spaces around."
        )


def _refuse_taken_openid(connection: Connection, name: str, openid: str | None) -> None:
    taken = select(USERS.c.name).where(USERS.c.openid == openid, USERS.c.name != name)
    if openid is not None and (other := connection.scalar(taken)) is not None:
        raise AccountError(f"{openid!r} is user {other} already; take it from {other} first.")


def _admins(connection: Connection) -> Sequence[str]:
    return connection.scalars(select(USERS.c.name).where(USERS.c.role == Role.ADMIN)).all()


def _keep_an_admin(connection: Connection, name: str) -> None:
    if list(_admins(connection)) == [name]:
        raise AccountError(f"{name} is the only admin here; make another user an admin first.")


def _account(row: Row[Any]) -> Account:
    is_locked = row.locked_until is not None and row.locked_until > _now()
    return Account(
        name=row.name,
        role=Role(row.role),
        made_at=row.made_at,
        epoch=row.epoch,
        locked_until=row.locked_until if is_locked else None,
        has_password=row.password is not None,
        openid=row.openid,
    )


def _token(row: Row[Any], *, at_most: Role = Role.ADMIN) -> Token:
    return Token(
        id=row.id,
        user=row.user_name,
        label=row.label,
        role=min(Role(row.role), at_most, key=lambda role: role.rank),
        made_at=row.made_at,
        last_used=row.last_used,
        expires_at=row.expires_at,
    )


def _note(
    connection: Connection, verb: str, user: str, *, who: str | None, **details: object
) -> None:
    auditing.note(connection, verb=verb, who=who, details={"user": user, **details})


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _hash(password: str) -> str:
    if not SHORTEST_PASSWORD <= len(password) <= _LONGEST_PASSWORD:
        raise SettingsError(
            f"a password has {SHORTEST_PASSWORD} to {_LONGEST_PASSWORD} characters; choose another."
        )
    return _hasher().hash(password)


def _is_password(hashed: str, password: str) -> bool:
    from argon2.exceptions import VerificationError  # noqa: PLC0415 - an extra

    try:
        return len(password) <= _LONGEST_PASSWORD and _hasher().verify(hashed, password)
    except VerificationError:
        return False


@cache
def _hasher() -> "PasswordHasher":
    try:
        from argon2 import PasswordHasher  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise MissingExtraError("A password", extra="web") from error
    return PasswordHasher()


@cache
def _unknown_hash() -> str:
    """The hash of a password that nobody knows."""
    return _hasher().hash(secrets.token_hex(16))


def _now(later: timedelta = timedelta()) -> str:
    return (datetime.now(UTC) + later).isoformat(timespec="seconds")
