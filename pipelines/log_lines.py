"""Log lines of a small web shop, the text that needs no download.

A language model of a log says which lines are usual: whatever gets an improbable token is worth a
look, without a rule for it. What there is to learn here, from the form of a single line to what
spans several:

    09:14:07 web GET /cart 200 12 ms user=ana           times go on; states of a session
    09:14:09 pay charge user=ana amount=40 ok           only after /checkout
    09:14:09 db query table=orders rows=1 3 ms          follows what needs it
    09:15:30 disk usage 71 %                            rises slowly, until a cleanup
"""

import random
from typing import NamedTuple

_USERS = ("ana", "ben", "chen", "dora", "eli", "fay", "gus", "hana")
_NEXT = {  # where a visitor goes from a page, with weights
    "/": (("/search", 5), ("/item", 3), ("/help", 1)),
    "/search": (("/item", 6), ("/search", 2), ("/", 1)),
    "/item": (("/cart", 3), ("/search", 3), ("/", 1)),
    "/cart": (("/checkout", 4), ("/item", 2)),
    "/help": (("/", 1),),
}


class LogSplits(NamedTuple):
    """Lists of lines; each split is a stretch of time of its own.

    Args:
        train, validation, test: Lists of str.
    """

    train: list
    validation: list
    test: list


def make_log(seed, train_lines=20_000, evaluation_lines=2_000):
    """Returns `LogSplits`; the same arguments give the same lines in every process.

    Args:
        seed: int.
        train_lines, evaluation_lines: ints. Lines of the training split, and of each other.
    """
    counts = (train_lines, evaluation_lines, evaluation_lines)
    return LogSplits(
        *(_Shop(random.Random(f"{seed} {part}")).lines(n) for part, n in enumerate(counts))
    )


class _Shop:
    """The shop: writes its lines one event at a time."""

    def __init__(self, rng):
        self._rng = rng
        self._second = rng.randrange(6 * 3600, 9 * 3600)
        self._disk = rng.randrange(30, 60)
        self._pages = {}  # of the users who are there

    def lines(self, count):
        """Returns the next `count` lines."""
        lines = []
        while len(lines) < count:
            self._second = (self._second + self._rng.choice((0, 1, 1, 2, 3, 8))) % 86_400
            lines.extend(self._event())
        return lines[:count]

    def _event(self):
        draw = self._rng.random()
        if draw < 0.03:
            return self._disk_usage()
        if not self._pages or (draw < 0.15 and len(self._pages) < len(_USERS)):
            user = self._rng.choice([user for user in _USERS if user not in self._pages])
            self._pages[user] = "/"
            return [self._line(f"auth login user={user} ok"), self._get(user, "/")]
        user = self._rng.choice(sorted(self._pages))
        if self._rng.random() < 0.1:
            del self._pages[user]
            return [self._line(f"auth logout user={user}")]
        targets, weights = zip(*_NEXT[self._pages[user]], strict=True)
        (page,) = self._rng.choices(targets, weights)
        if page == "/checkout":
            return self._checkout(user)
        self._pages[user] = page
        return [self._get(user, page), *self._query(page)]

    def _checkout(self, user):
        self._pages[user] = "/"
        amount = self._rng.choice((10, 20, 40, 80))
        refused = self._rng.random() < 0.1
        lines = [self._get(user, "/checkout")]
        result = "refused" if refused else "ok"
        lines.append(self._line(f"pay charge user={user} amount={amount} {result}"))
        if not refused:
            lines.append(self._line(f"db insert table=orders rows=1 {self._milliseconds()} ms"))
        return lines

    def _query(self, page):
        tables = {"/search": "items", "/item": "items", "/cart": "orders"}
        if page not in tables:
            return []
        rows = self._rng.choice((1, 2, 5, 10)) if page == "/search" else 1
        return [self._line(f"db query table={tables[page]} rows={rows} {self._milliseconds()} ms")]

    def _disk_usage(self):
        self._disk += self._rng.choice((0, 1, 1, 2))
        lines = [self._line(f"disk usage {self._disk} %")]
        if self._disk > 90:
            self._disk = self._rng.randrange(30, 60)
            lines.append(self._line("disk cleanup started"))
        return lines

    def _get(self, user, page):
        missing = page == "/item" and self._rng.random() < 0.05
        status = 404 if missing else 200
        return self._line(f"web GET {page} {status} {self._milliseconds()} ms user={user}")

    def _milliseconds(self):
        return self._rng.choice((1, 2, 2, 3, 3, 5, 8, 12, 20))

    def _line(self, text):
        minutes, second = divmod(self._second, 60)
        return f"{minutes // 60:02}:{minutes % 60:02}:{second:02} {text}"
