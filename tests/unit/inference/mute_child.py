"""A child process that a model took over: its answer has no bytes."""

import sys
import time
from multiprocessing.connection import Connection

from oracle.inference.child import Outcome

answers: "Connection[object, object]" = Connection(int(sys.argv[2]), readable=False)
answers.send_bytes(bytes([Outcome.READY]))
answers.send_bytes(b"")
time.sleep(600)
