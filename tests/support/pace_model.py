"""A Python model of what Redis does with client charges; the script in provider/redis/rate_limits.py must agree."""

from dataclasses import dataclass, field

import provider.redis.rate_limits as shared_limits


@dataclass
class PaceModel:
    """When each bucket is full, by a clock in seconds."""

    full_at: dict[str, float] = field(default_factory=dict)

    def take(self, key: str, now: float, *, age: float, cost: float, most: float) -> float:
        """Charge a bucket and return the seconds until it is full."""
        begun = max(self.full_at.get(key, 0.0), now - age - shared_limits.SLACK_SECONDS)
        self.full_at[key] = min(begun + cost, now + most)
        return self.full_at[key] - now
