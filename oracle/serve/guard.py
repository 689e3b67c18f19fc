"""What strangers may take of the server: bytes, requests a minute, answers at once, time."""

import asyncio
import ipaddress
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from oracle.serve.problems import problem

INFER = "/v1/infer"
QUOTE = "/v1/quote"  # it waits in the same line
FREE = "/v1/health"  # by which a balancer looks whether we are there
WEIGHT = 10  # so many other requests count as one for an answer
MINUTE = 60.0  # seconds
SLOW = 10.0  # seconds that a body may take to come


@dataclass(frozen=True, slots=True)
class GuardLimits:
    """Of one address; an IPv6 address stands for its network of 2^64."""

    body: int = 1 << 20  # bytes
    rate: int = 30  # answers a minute, or ten times as many other requests
    at_once: int = 4  # answers, or quotes


class Rate:
    """Lets each address take `most` a minute: of the minute before, as much counts as lies less
    than a minute back. Older ones are forgotten, or a network of many addresses would fill the
    memory."""

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic):
        self._most = most
        self._clock = clock
        self._minute = 0
        self._now: Counter[str] = Counter()
        self._before: Counter[str] = Counter()

    @property
    def remembered(self) -> int:
        """How many addresses it knows of."""
        return len(self._now) + len(self._before)

    def takes(self, who: str, cost: int) -> bool:
        """Says whether `who` may take `cost` more now, and counts it if so."""
        minute, gone = divmod(self._clock() / MINUTE, 1)
        if minute != self._minute:
            self._before = self._now if minute == self._minute + 1 else Counter()
            self._now, self._minute = Counter(), int(minute)
        taken = self._now[who] + self._before[who] * (1 - gone)
        if taken + cost > self._most:
            return False
        self._now[who] += cost
        return True


class Guard:
    """Refuses what is too much, before anything is read of it."""

    def __init__(self, app: ASGIApp, limits: GuardLimits):
        self._app = app
        self._limits = limits
        self._rate = Rate(limits.rate * WEIGHT)
        self._at_once: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] == FREE:
            await self._app(scope, receive, send)
            return
        who, path = network_of(scope["client"][0] if scope.get("client") else ""), scope["path"]
        waits = path in (INFER, QUOTE)
        if not self._rate.takes(who, WEIGHT if path == INFER else 1):
            many = f"{self._limits.rate} answers a minute, or {WEIGHT} times as many requests"
            refused = problem(429, f"From one address we take {many}.", again_in=10)
        elif waits and self._at_once[who] >= self._limits.at_once:
            many = f"{self._limits.at_once} orders at once"
            refused = problem(429, f"From one address we take {many}.", again_in=2)
        elif _length(scope) > self._limits.body:
            refused = problem(413, f"The body has more than {self._limits.body} bytes.")
        else:
            await self._counted(who if waits else "", scope, receive, send)
            return
        await refused(scope, receive, send)

    async def _counted(self, who: str, scope: Scope, receive: Receive, send: Send) -> None:
        self._at_once[who] += 1
        try:
            await self._app(scope, _Body(receive, self._limits.body).receive, send)
        finally:
            self._at_once[who] -= 1
            if not self._at_once[who]:
                del self._at_once[who]


class _Body:
    """Counts the bytes of a body, and the seconds until it is whole."""

    def __init__(self, receive: Receive, most: int):
        self._receive = receive
        self._left = most
        self._until = asyncio.get_running_loop().time() + SLOW
        self._is_whole = False

    async def receive(self) -> Message:
        if self._is_whole:  # whether somebody is still there
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._until):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(408, f"The body took over {SLOW:g} s.") from None
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise HTTPException(413, "The body is too long.")
        self._is_whole = not message.get("more_body", False)
        return message


def _length(scope: Scope) -> int:
    """Gives the length that is said of the body, or 0 where none is."""
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0


def network_of(host: str) -> str:
    """Names who asks: an address, or the network in which somebody has as many as they like."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((address, 64), strict=False))
