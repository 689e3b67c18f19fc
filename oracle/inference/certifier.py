"""The child process that looks at one program file, and says what its root is.

Whoever fetches files holds keys, and strangers choose the files. So nobody else reads a program
file before its root is known, and what is read here may end this process alone.
"""

import sys
import traceback
from pathlib import Path

from oracle.errors import NotCertified, OracleError
from oracle.exact.program_file import certify
from oracle.inference.failures import encoded, text
from oracle.inference.process import confine
from oracle.visible import visible_lines

ROOT, ERROR = b"\0", b"\1"  # how what it says begins


def said_of(path: Path) -> bytes:
    """Gives what is to be said of the file, whatever comes of reading it."""
    try:
        return ROOT + certify(path)
    except OracleError as error:
        return ERROR + encoded(error)
    except MemoryError:
        return ERROR + encoded(NotCertified("it takes too much memory"))
    # As in child.py, of a hostile file.
    except Exception as error:
        sys.stderr.write(visible_lines(traceback.format_exc()) + "\n")
        return ERROR + encoded(NotCertified(f"{type(error).__name__}: {text(error)}"))


def main() -> None:
    path, memory_limit = sys.argv[1:]
    confine(int(memory_limit), lifeline=sys.stdin.fileno())
    sys.stdout.buffer.write(said_of(Path(path)))


if __name__ == "__main__":
    main()
