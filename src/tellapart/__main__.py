"""The `tellapart` command. Errors that we raise on purpose become their text and exit code; Ctrl-C is answered from the start."""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
from typing import Any, NoReturn

from tellapart.errors import TellapartError
from tellapart.files import printable
from tellapart.launch import is_helper, launch_rank, n_launched

FIRST_SPEAKS_S = 10.0  # what is wrong for several processes is said by the first of them; torchrun then ends the others
STOPPED = "stopped; what is done is kept: start the same command again, or go on with --resume FOLDER (of predict: --resume)"


class _Stopped(BaseException):
    """Ctrl-C. Not KeyboardInterrupt, which typer would answer before we can say what is kept."""


def main() -> None:
    """Run the command line and exit: 0 done, 1 the work failed, 2 the call was wrong, 130 stopped."""
    signal.signal(signal.SIGINT, _stop)
    if is_helper():
        _be_quiet()
    try:
        for stream in (sys.stdout, sys.stderr):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # a file name may be no valid Unicode
        from tellapart.cli import app  # typer takes a tenth of a second, in which Ctrl-C may come

        try:
            app()
        except SystemExit as end:
            sys.stdout.flush()
            _end(end.code)
        finally:
            sys.stdout.flush()  # here, where a full disk can still be answered
            if "torch" not in sys.modules:  # whose bindings complain at length of what is not let go
                gc.freeze()  # the interpreter need not look for cycles on its way out: a fifth of a second
    except TellapartError as error:
        _fail(str(error), error.exit_code)
    except BrokenPipeError:
        _fail("", 1)  # the reader has seen enough: `tellapart predict ... | head`
    except OSError as error:
        _fail(f"cannot read or write {error.filename or 'the output'}: {error.strerror}", 1)
    except Exception:
        sys.stderr = sys.__stderr__  # a fault of ours is shown by whichever process has it
        raise
    except _Stopped:
        _fail(STOPPED, 130)


def _stop(_signal: int, _frame: object) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not cut the cleaning up short
    raise _Stopped


def _be_quiet() -> None:
    """Leave speaking to the first of several processes, and end at once when told to, even within PyTorch."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115  # until the process ends; errors go to sys.__stderr__


def _fail(text: str, code: int) -> None:
    if is_helper():
        time.sleep(FIRST_SPEAKS_S)
        text, sys.stderr = text and f"process {launch_rank()}: {text}", sys.__stderr__
    if text:
        print(f"tellapart: {printable(text)}", file=sys.stderr)
    sys.stderr.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what a full disk or a gone reader did not take
    _end(code)


def _end(code: Any) -> NoReturn:
    if n_launched() > 1 and isinstance(code, int | None):
        sys.stderr.flush()
        os._exit(code or 0)  # threads of PyTorch's groups may abort an interpreter that takes itself apart
    sys.exit(code)


if __name__ == "__main__":
    main()
