"""How often one client may ask: a bucket of tokens each, bounded in number. Pure but for the time it is given."""

from collections import OrderedDict


class RateLimiter:
    """A token bucket a client: ``burst`` at once, ``per_s`` in the long run."""

    def __init__(self, per_s: float, burst: int, clients_max: int) -> None:
        self._per_s = per_s
        self._burst = burst
        self._clients_max = clients_max
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, client: str, now: float) -> float:
        """Take a token; return 0, or for how many seconds there is none."""
        tokens, since = self._buckets.pop(client, (float(self._burst), now))
        tokens = min(float(self._burst), tokens + (now - since) * self._per_s)
        allowed = tokens >= 1
        self._buckets[client] = (tokens - 1 if allowed else tokens, now)
        if len(self._buckets) > self._clients_max:
            # who asked least recently has a full bucket anyway, or will not be missed
            self._buckets.popitem(last=False)
        return 0.0 if allowed else (1 - tokens) / self._per_s
