"""A child process that a model took over: it says for ever that it runs, and never answers."""

import sys
from multiprocessing.connection import Connection

from oracle.inference.child import Outcome

answers: "Connection[object, object]" = Connection(int(sys.argv[2]), readable=False)
answers.send_bytes(bytes([Outcome.READY]))
while True:
    answers.send_bytes(bytes([Outcome.RUNNING]))
