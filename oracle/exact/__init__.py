"""The law: from a program and its inputs to the one right output."""
