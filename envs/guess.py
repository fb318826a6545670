"""A number guessing game: the smallest complete environment."""

from collections.abc import Iterable, Mapping
from typing import Any

from agentgym import Outcome, TextEnv

__all__ = ["Guess"]


class Guess(TextEnv):
    """Guess a number between 1 and 20; each wrong guess is answered with higher or lower."""

    instructions = "Guess the number. Answer with the number alone."
    max_turns = 6
    rewards_turns = False

    def begin(self, options: Mapping[str, Any]) -> str:
        """Draw the number."""
        self.low, self.high = 1, 20
        self.secret = int(self.np_random.integers(1, 21))
        return "I am thinking of a number between 1 and 20. What is it?"

    def act(self, action: str) -> Outcome:
        """Compare one guess."""
        if not action.strip().isdecimal():
            return Outcome("Please answer with a number.", action_valid=False)
        guess = int(action.strip()[:9])
        if guess == self.secret:
            return Outcome("Correct!", 1.0, terminated=True, success=True, action_valid=True)
        if guess < self.secret:
            self.low = max(self.low, guess + 1)
            return Outcome(f"It is higher than {guess}.", action_valid=True)
        self.high = min(self.high, guess - 1)
        return Outcome(f"It is lower than {guess}.", action_valid=True)

    def state_key(self) -> str:
        """Return the secret and what can be known of it."""
        return f"{self.secret} in {self.low}..{self.high}"

    def gold(self) -> Iterable[str]:
        """Return the number."""
        return [str(self.secret)]

    def expert(self) -> str:
        """Halve the range that is left."""
        return str((self.low + self.high) // 2)
