"""A child process that has much to say, and ends."""

import sys

LINES = 200

if __name__ == "__main__":
    sys.stderr.write("".join(f"line {number}\n" for number in range(LINES)))
