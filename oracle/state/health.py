"""Says why a program is not well, each reason with what to do about it. Looks at values alone."""

from collections.abc import Iterator

from oracle.state.duties import DutyKind, State
from oracle.state.rounds import MOST_SKEW
from oracle.state.vitals import Purse, Stake, Urgent, Vitals
from oracle.visible import hex_id

LONGEST_ROUND = 60.0  # seconds since the last one ended, in which a node may recover
HICCUP = 15.0  # seconds without a look that succeeded, in which no node need be well
LONGEST_STILL = 300.0  # seconds without a new block that we could read
MISSED_FOR = 3600.0  # seconds for which a missed duty is told
LEAST_GAS = 400_000  # that an account needs coins for: the dearest answer to a demand
MOST_NAMED = 3  # duties in danger that are named one by one

# Nothing is sent for these: another duty is, once they are done.
_UNSENT = (DutyKind.CHECK, DutyKind.PURSUE)


def reasons(vitals: Vitals, now: float) -> Iterator[str]:
    """Yields what a person should see to, by what was seen after the last round that ended."""
    yield from _deadlines(vitals, now)
    yield from _missed(vitals, now)
    yield from _blocks(vitals)
    yield from _nodes(vitals, now)
    if vitals.purse is not None:
        yield from _purse(vitals.purse, vitals)
    if vitals.stake is not None:
        yield from _stake(vitals.stake)
    if vitals.stuck:
        yield (
            f"{vitals.stuck} histories could not be understood, so nothing new that follows from"
            " them is done: the log has each as 'a history is stuck', with what to report."
        )


def unended(since: float, why: str | None, now: float) -> str | None:
    """Says so where rounds have failed since the time `since` for too long, the last of them as
    `why` says; or, where that is None, a round has been going on since."""
    past = now - since
    if past <= LONGEST_ROUND:
        return None
    if why is None:
        return (
            f"The round has been going on for {past:.0f} s: it reads all that happened until now,"
            " or a node hangs, and then another --rpc helps."
        )
    return f"No round has succeeded for {past:.0f} s, so no deadline is watched: {why}"


def is_in_danger(duty: Urgent, chain_time: float) -> bool:
    """Says whether less time is left for a duty than it takes. One that never had as much is in no
    danger: any stranger could ask for it."""
    left, whole = duty.deadline - chain_time, duty.deadline - duty.since
    return left < duty.takes <= whole


def _deadlines(vitals: Vitals, now: float) -> Iterator[str]:
    time = vitals.chain_time(now)
    found = [each for each in vitals.urgent if is_in_danger(each, time)]
    for each in sorted(found, key=lambda each: each.deadline)[:MOST_NAMED]:
        is_sent = each.state is State.SENT
        yield (
            f"{each.kind} of {hex_id(each.subject)} has {each.deadline - time:.0f} s left and takes"
            f" {each.takes:.0f} s: "
            + (
                "its transaction is not mined yet; raise --max-fee-per-gas, or add a node."
                if is_sent
                else "see in the log why it waits; coins, nodes or --processes may lack."
            )
        )
    if len(found) > MOST_NAMED:
        yield f"{len(found) - MOST_NAMED} more duties have less time left than they take."


def _missed(vitals: Vitals, now: float) -> Iterator[str]:
    if vitals.missed_at is None or now - vitals.missed_at > MISSED_FOR:
        return
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(vitals.missed.items()))
    minutes = (now - vitals.missed_at) / 60
    yield (
        f"A duty was missed {minutes:.0f} min ago (since the start: {kinds}): the log says which,"
        " and why, where it says 'missed a deadline' or 'cannot be sent'."
    )


def _blocks(vitals: Vitals) -> Iterator[str]:
    blocks = vitals.blocks
    still = vitals.at - blocks.moved_at
    if still > LONGEST_STILL and blocks.head < blocks.read:
        yield (
            f"The node is at block {blocks.head}, behind block {blocks.read} that was read"
            f" {still:.0f} s ago: see whether it syncs and is of the same chain, or add another."
        )
    elif still > LONGEST_STILL:
        yield (
            f"Nothing new was read for {still:.0f} s, after block {blocks.read}: the chain stands"
            " still, or the node does; compare its head with an explorer's."
        )
    if blocks.skew is not None and abs(blocks.skew) > MOST_SKEW:
        way = "ahead of" if blocks.skew > 0 else "behind"
        yield (
            f"Our clock is {abs(blocks.skew):.0f} s {way} the chain's: set it by NTP; if it is"
            " right, the node is behind."
        )


def _nodes(vitals: Vitals, now: float) -> Iterator[str]:
    if now - vitals.at > HICCUP and not any(node.is_up for node in vitals.nodes):
        said = "; ".join(f"{node.name} is {node.state}" for node in vitals.nodes)
        yield f"No node is well ({said}): start one, or add another by --rpc."


def _purse(purse: Purse, vitals: Vitals) -> Iterator[str]:
    is_owing = any(
        each.state in (State.OPEN, State.SENT) and each.kind not in _UNSENT
        for each in vitals.tallies
    )
    needed = LEAST_GAS * purse.gas_price
    if is_owing and purse.balance < max(1, needed):
        yield (
            f"Our account {purse.account} has {purse.balance} wei, and gas for one answer may cost"
            f" {needed} wei while duties are open: send it coins."
        )


def _stake(stake: Stake) -> Iterator[str]:
    if stake.undefended:
        models = ", ".join(map(hex_id, stake.undefended))
        yield (
            f"Open results of {models} could not be defended now: their files cannot be had; bring"
            " them back by exactum model add-file."
        )
