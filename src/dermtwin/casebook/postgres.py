"""The record in PostgreSQL: many workers, one database, one folder of files.

Writing transactions take one lock, so that change numbers come in the order of commits: PostgreSQL
gives up a transaction's locks only after the transaction is seen by others.
"""

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, create_engine, event

from dermtwin.casebook.location import Location
from dermtwin.casebook.schema import METADATA
from dermtwin.errors import CasebookError, MissingExtraError

if TYPE_CHECKING:
    import psycopg
    from psycopg.errors import Diagnostic

WAIT_S = 60
"""How long a rewrite waits for other programs to end what they read."""

# The planner's, which hold values of rows: rewritten last, as a table's analysis replaces them.
_STATISTICS = "pg_catalog.pg_statistic"

# One number a database, for whoever writes to a casebook there.
_LOCK = 0x6465726D7477696E

# What was acknowledged survives a power cut, whatever the database's own default.
_SETTINGS = ("SET synchronous_commit = on", "SET client_min_messages = warning")

_RIGHTS = """
SELECT has_function_privilege('pg_catalog.pg_switch_wal()', 'EXECUTE'),
    pg_has_role('pg_checkpoint', 'USAGE'),
    pg_has_role((SELECT datdba FROM pg_database WHERE datname = current_database()), 'USAGE'),
    quote_ident(current_user), quote_ident(current_database())
"""


@dataclass(frozen=True, slots=True)
class PostgresDatabase:
    """See `database.Database`."""

    where: Location
    reading: Engine
    writing: Engine

    @classmethod
    def open(cls, where: Location) -> "PostgresDatabase":
        """Get ready to connect; nothing is asked yet.

        Raises:
            MissingExtraError: the driver is not installed.
        """
        try:
            import psycopg  # noqa: F401, PLC0415 - the extra `postgres`
        except ImportError as error:
            raise MissingExtraError("a casebook in PostgreSQL", extra="postgres") from error
        assert where.url is not None
        # A connection is tried before it is used: a server that came back is simply used again.
        engine = create_engine(where.url, pool_pre_ping=True, pool_size=5, max_overflow=20)
        event.listen(engine, "connect", _set_up)
        event.listen(engine, "begin", _begin)
        reading = engine.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )
        # Each statement sees what was committed before it: all of it, as the lock is held.
        writing = engine.execution_options(isolation_level="READ COMMITTED", writes=True)
        return cls(where, reading, writing)

    def close(self) -> None:
        """Close all connections."""
        self.reading.dispose()

    def leave_no_traces(self) -> bool:
        """Rewrite the tables, their indexes and the planner's statistics; drop the old log.

        `VACUUM FULL` writes a table's living rows to new files. The log's files up to now are let
        go by a checkpoint; the server removes them if it is set up to (docs/casebook.md).

        Returns:
            Whether no dead row is left; one stays while another program reads an older moment.

        Raises:
            CasebookError: the user may not do this; names the rights.
        """
        end = time.monotonic() + WAIT_S
        with self.reading.connect() as pooled:
            connection = pooled.execution_options(
                isolation_level="AUTOCOMMIT", postgresql_readonly=False
            )
            _refuse_without_rights(connection, where=self.where)
            connection.exec_driver_sql(f"SET lock_timeout = '{WAIT_S}s'")
            try:
                left = [*METADATA.tables, _STATISTICS]
                while left := [table for table in left if _rewrite(connection, table)]:
                    if time.monotonic() > end:
                        return False
                    left = [*(set(left) - {_STATISTICS}), _STATISTICS]
                    time.sleep(0.05)
                connection.exec_driver_sql("SELECT pg_switch_wal()")
                connection.exec_driver_sql("CHECKPOINT")
            finally:
                connection.exec_driver_sql("RESET lock_timeout")
        return True


def _rewrite(connection: Connection, table: str) -> int:
    """Rewrite a table that may hold bytes of deleted rows; how many of them had to be kept."""
    raw: Any = connection.connection.dbapi_connection
    details: list[str] = []

    def hear(notice: "Diagnostic") -> None:
        details.append(notice.message_detail or "")

    connection.exec_driver_sql("SET client_min_messages = notice")
    raw.add_notice_handler(hear)
    analyze = "" if table == _STATISTICS else ", ANALYZE"
    try:
        connection.exec_driver_sql(f"VACUUM (FULL, VERBOSE{analyze}) {table}")
    finally:
        raw.remove_notice_handler(hear)
        connection.exec_driver_sql("SET client_min_messages = warning")
    # `VERBOSE` tells, in the server's language: "N dead row versions cannot be removed yet."
    counts = (re.match(r"\D*(\d+)", detail) for detail in details)
    return sum(int(count[1]) for count in counts if count)


def _refuse_without_rights(connection: Connection, *, where: Location) -> None:
    row = connection.exec_driver_sql(_RIGHTS).one()
    switches, checkpoints, owns, user, database = row
    lacking = {
        f"GRANT EXECUTE ON FUNCTION pg_switch_wal() TO {user}": switches,
        f"GRANT pg_checkpoint TO {user}": checkpoints,
        f"ALTER DATABASE {database} OWNER TO {user}": owns,
    }
    if wanted := [statement for statement, has in lacking.items() if not has]:
        raise CasebookError(
            f"{where} cannot be rewritten: its user lacks rights; let the server's administrator "
            f"run: {'; '.join(wanted)}."
        )


def _set_up(connection: "psycopg.Connection", _record: object) -> None:
    # A server that keeps other letters than UTF-8 could not hold every name.
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise CasebookError(
            f"the PostgreSQL database keeps its text as {encoding}; make one with ENCODING 'UTF8'."
        )
    autocommit = connection.autocommit
    connection.autocommit = True
    for setting in _SETTINGS:
        connection.execute(setting)
    connection.autocommit = autocommit


def _begin(connection: Connection) -> None:
    if connection.get_execution_options().get("writes", False):
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
