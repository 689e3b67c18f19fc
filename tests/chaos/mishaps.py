"""What goes wrong in a chaos test: chosen by seed, each for a while."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random

from tests.chaos.bad_nodes import BadNode, Fault
from tests.chaos.cast import Program
from tests.chaos.ground import Ground

MOST_DEPTH = 10  # blocks
MOST_ROUNDS = 10  # that a node misbehaves
MOST_SKEW = 400  # seconds
MOST_STEPS = 80  # statements and calls until a doomed program is killed
FULL = 3  # rounds

# How often each comes, of a hundred rounds; of nodes and programs, for each.
REPLACED, ROLLED_BACK, DEAR = 12, 3, 3
BAD, KILLED, DOOMED, SKEWED, DISK_FULL = 6, 2, 3, 3, 3


@dataclass
class Mishaps:
    rng: Random
    ground: Ground
    programs: Sequence[Program]
    bad: dict[BadNode, int] = field(default_factory=dict)  # rounds that are left
    full: dict[str, int] = field(default_factory=dict)  # rounds until there is room again

    def happen(self) -> Iterator[str]:
        """One round's. Says what happened."""
        if self._is_time(REPLACED):
            yield "replaced " + self.ground.replace(self.rng.randint(1, MOST_DEPTH))
        elif self._is_time(ROLLED_BACK):
            depth = self.rng.randint(1, MOST_DEPTH)
            yield f"rolled back {depth} blocks, {len(self.ground.roll_back(depth))} transactions"
        if self._is_time(DEAR):
            self.ground.raise_fees()
            yield "gas is dear"
        for program in self.programs:
            for node in program.nodes:
                yield from self._spoil(node)
            yield from self._harm(program)

    def _is_time(self, percent: int) -> bool:
        return self.rng.random() < percent / 100

    def _spoil(self, node: BadNode) -> Iterator[str]:
        left = self.bad.pop(node, 0) - 1
        if left > 0:
            self.bad[node] = left
        elif left == 0:
            node.calm()
            yield f"{node.name} is well again"
        elif self._is_time(BAD):
            self.bad[node] = self.rng.randint(1, MOST_ROUNDS)
            node.fail(self.rng.choice(list(Fault)))
            assert node.fault is not None
            yield f"{node.name} {node.fault.value} (rate {node.rate}, lag {node.lag})"

    def _harm(self, program: Program) -> Iterator[str]:
        if self._is_time(KILLED):
            program.kill()
            yield f"{program.who} is killed between two rounds"
        elif self._is_time(DOOMED):
            program.doom(self.rng.randint(1, MOST_STEPS))
            yield f"{program.who} is to be killed somewhere"
        if self._is_time(SKEWED):
            program.skew = self.rng.choice((0, self.rng.randint(-MOST_SKEW, MOST_SKEW)))
            yield f"{program.who}'s clock is ahead by {program.skew} s"
        yield from self._fill(program)

    def _fill(self, program: Program) -> Iterator[str]:
        """Once in each program's life."""
        left = self.full.get(program.who)
        if left is None and self._is_time(DISK_FULL):
            self.full[program.who] = FULL
            program.disk_is_full = True
            yield f"{program.who}'s disk is full"
        elif left is not None:
            self.full[program.who] = left - 1
            if left == 1:
                program.disk_is_full = False
                yield f"{program.who}'s disk has room"
