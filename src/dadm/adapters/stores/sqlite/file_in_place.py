"""Whether a database file is still where it was opened: SQLite goes on without telling if not."""

from pathlib import Path

from dadm.domain.errors import StoreMisconfigured

GONE = 0


class FileInPlace:
    """Notices when the file or its log is deleted, moved or replaced while it is open.

    What is committed to a file without a name is lost with the last program that has it open.
    """

    def __init__(self, path: Path) -> None:
        """Remember which file is at `path` now; its log is remembered once there is one."""
        # SQLite puts the log beside the file itself, wherever a link to it is.
        file = path.resolve()
        self._paths = (path, file.with_name(f"{file.name}-wal"))
        self._numbers = {path: number_of(path)}

    def check(self) -> None:
        """Let whoever has the file open go on while it is where it was.

        Raises:
            StoreMisconfigured: It is not; what was done to it just now may be lost.
        """
        for path in self._paths:
            number = number_of(path)
            if number != self._numbers.get(path, number):
                message = (
                    f"The database file {path} was deleted, moved or replaced while this program "
                    "had it open. Stop the program, put the file back, and start it again."
                )
                raise StoreMisconfigured(message)
            if number != GONE:
                self._numbers[path] = number


def number_of(path: Path) -> int:
    """Give the number by which the file system knows what is at `path`."""
    try:
        return path.stat().st_ino
    except OSError:
        return GONE
