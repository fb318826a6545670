"""What a training run carries from iteration to iteration, and its steps other than learning."""

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from safetensors.torch import load_file, save_file
from torch import Tensor

from agentgym.records import Checkpoint, RunFolder
from agentgym.rewards.judge import JUDGE_FACTS
from agentgym.rollout import EnvPool, collect, rewritten_share
from agentgym.trainers import acting, describe, monitor, parts
from agentgym.trainers.config import TrainConfig
from agentgym.trainers.credit.base import parts_named_by
from agentgym.trainers.critic import Critic
from agentgym.trainers.evaluate import Score, evaluate
from agentgym.trainers.learner import Learner
from agentgym.trainers.optimizer import Optimizer, count_parameters
from agentgym.trainers.pack import pack_demonstrations
from agentgym.trainers.parts import Policy, stream
from agentgym.trainers.progress import Iteration, Progress
from agentgym.trainers.shaping import Shaping
from agentgym.trainers.warmstart import imitate
from agentgym.types import JSON, Group, Trajectory


class Session:
    """One process's work on a run.

    Attributes:
        iteration: iterations of reinforcement learning that are done.
        policy: what acts. learner: what trains it. shape: what makes its rewards.
        first: held-out success before reinforcement learning.
        curve: (iteration, held-out success, lower end of its interval) of every evaluation.
    """

    policy: Policy
    learner: Learner

    def __init__(
        self, config: TrainConfig, run: RunFolder, scheme: parts.Scheme, progress: Progress
    ) -> None:
        """Prepare; `begin` does the work."""
        self.config, self.run, self.scheme, self.progress = config, run, scheme, progress
        self.iteration = 0
        self.first: Score | None = None
        self.curve: list[tuple[int, float, float]] = []
        watched = ("success", "valid", "silent", *JUDGE_FACTS, *monitor.FACTS)
        self._watched: dict[str, list[float]] = {name: [] for name in watched}
        self._warned: set[str] = set()
        self._retried = 0  # episodes of this iteration
        self.shape = Shaping(
            config.reward,
            scheme.economy,
            lambda said: self._warn(said, self.iteration + 1),
            parts_named_by(scheme.credit),
        )
        self._spent_s, self._began = 0.0, time.monotonic()
        self._pool = EnvPool()

    @property
    def elapsed_s(self) -> float:
        """Wall time of the run, sessions before this one included."""
        return self._spent_s + time.monotonic() - self._began

    # The beginning ------------------------------------------------------------------------------

    def begin(self) -> None:
        """Start from the very start, or from the checkpoint that the run was resumed at."""
        checkpoint = self.run.checkpoint
        if checkpoint is None:
            folder = self.run.path / "initial"
            shutil.rmtree(folder, ignore_errors=True)
            self.policy = parts.make_policy(self.config, folder)
            self._announce()
            self._warm_start()
            self._add_helpers()
            self.learner = self._learner()
            self.first = self._evaluate_fresh()
            self.evaluate_curve()
            self.checkpoint()
        else:
            self.policy = parts.load_policy(self.config, checkpoint.path / "policy")
            self._announce()
            self._add_helpers()
            self.learner = self._learner()
            self._restore(checkpoint)

    def _announce(self) -> None:
        weights = count_parameters(self.policy.model.parameters())
        said = describe.facts(self.config, weights, self.run.path)
        self.progress.start(self.config.recipe or "training", said)
        for message in self.run.messages:
            self.progress.say(message, warning=True)

    def _warm_start(self) -> None:
        """Imitate the expert on training worlds, and keep what comes of it as the reference."""
        warm = self.config.warmstart
        if not warm.demonstrations:
            return
        tasks = parts.train_tasks(self.config, 0, parts.DEMONSTRATIONS, warm.demonstrations)
        groups = collect(
            tasks,
            1,
            acting.demonstrator(self.config, self.scheme, self.policy),
            None,
            seed=self._seed(parts.DEMONSTRATIONS),
            limits=parts.limits(self.config, self.policy),
            **self._how(),
        )
        self._log(groups, "demonstration")
        rows = pack_demonstrations(t for group in groups for t in group.trajectories_G)
        rng = stream(self.config, parts.WARMSTART)
        imitate(self.policy.model, rows, warm, rng, self.progress.warmstart)
        self.policy.save(_emptied(self.run.path / "warm"))

    def _learner(self) -> Learner:
        optim, model = self.config.optim, self.policy.model
        # While the critic warms up, the policy makes no steps.
        still = self.config.critic.warmup_iterations if self.policy.critic is not None else 0
        steps = max(1, self.config.train.iterations - still) * optim.epochs * optim.minibatches
        return Learner(
            model,
            Optimizer(model, optim, steps),
            self.scheme.loss,
            temperature=self.config.rollout.temperature,
            epochs=optim.epochs,
            minibatches=optim.minibatches,
            minibatch_rows=optim.minibatch_rows,
            max_tokens=optim.micro_batch_tokens,
            reference=self.policy.reference if "ref_logprobs" in self.scheme.loss.needs else None,
        )

    def _add_helpers(self) -> None:
        """Put the models beside the policy that the run needs: frozen, a reference, a critic."""
        self.policy = parts.with_frozen(self.config, self.policy, self.run.path)
        if "reference" in self.scheme.helpers:
            self.policy = replace(self.policy, reference=self._reference())
        if "critic" in self.scheme.helpers:
            config = self.config.critic
            steps = self.config.train.iterations * config.epochs * config.minibatches
            size = self.config.optim.micro_batch_tokens
            critic = Critic(self.policy.model, config, max_tokens=size, steps=steps)
            self.policy = replace(self.policy, critic=critic)

    def _reference(self) -> Any:
        """Return the frozen policy of the beginning."""
        source = parts.beginning(self.config, self.run.path)
        return parts.load_model(self.config, source).requires_grad_(False)

    # One iteration ------------------------------------------------------------------------------

    def collect(self) -> list[Group]:
        """Play the next iteration's episodes with the present weights."""
        rollout, iteration = self.config.rollout, self.iteration + 1
        attempts: list[Trajectory] = []
        groups = collect(
            parts.train_tasks(self.config, iteration),
            rollout.group_size,
            acting.player(self.config, self.scheme, self.policy, rollout.temperature),
            self.policy.backend,
            seed=self._seed(parts.TASKS, iteration),
            limits=parts.limits(self.config, self.policy),
            on_episode=attempts.append,
            **self._how(),
        )
        kept = {id(t) for group in groups for t in group.trajectories_G}
        retried = [t for t in attempts if id(t) not in kept]
        self._retried = len(retried)
        for failed in retried:
            task = parts.task_of(failed).key
            self.run.log.append(failed, step=iteration, task=task, phase="retried")
        return groups

    def annotate(self, groups: list[Group]) -> list[Group]:
        """Add the notes that the credit scheme needs, and record the episodes with them."""
        for annotator in self.scheme.annotators:
            groups = annotator(groups, self.policy)
        self._log(groups, "train", self.iteration + 1)
        return groups

    def report(self, groups: Sequence[Group], metrics: Mapping[str, float]) -> None:
        """Record and show what an iteration brought, and look for trouble."""
        self.iteration += 1
        trajectories = [t for group in groups for t in group.trajectories_G]
        score = Score.of(trajectories)
        named = {
            "train/rewritten_share": rewritten_share(trajectories),
            "train/retried": float(self._retried),
        }
        named |= {k if "/" in k else f"learner/{k}": v for k, v in metrics.items()}
        self.run.metrics(
            self.iteration,
            **score.metrics("train"),
            **named,
            elapsed_s=self.elapsed_s,
            cpu_s=time.process_time(),
        )
        self._watched["success"].append(score.rate)
        self._watched["valid"].append(1.0 if score.valid_actions is None else score.valid_actions)
        self._watched["silent"].append(metrics.get("credit/zero_signal_groups", 0.0))
        for name in JUDGE_FACTS:
            self._watched[name].append(float(getattr(score, name)))
        for name in monitor.FACTS:
            self._watched[name].append(score.facts.get(name, 0.0))
        counts = describe.counts(score, metrics, len(groups), self._retried)
        of = self.config.train.iterations
        self.progress.iteration(Iteration(self.iteration, of, score, counts, self.elapsed_s))
        self._look_for_trouble()

    def _look_for_trouble(self) -> None:
        watched = self._watched
        found = {
            "collapse": monitor.invalid_penalty_collapse(watched["success"], watched["valid"]),
            "silence": monitor.no_signal(watched["silent"]),
            "judge": monitor.judge_gap(*(watched[name] for name in JUDGE_FACTS)),
            "tampering": monitor.tampering(watched["tampered"]),
            "fooled": monitor.fooled(watched["fooled"]),
        }
        for kind, message in found.items():
            if message and kind not in self._warned:
                self._warned.add(kind)
                self._warn(message, self.iteration)

    def _warn(self, message: str, iteration: int) -> None:
        self.run.log.append_record("warning", {"step": iteration, "text": message})
        self.progress.say(f"iteration {iteration}: {message}", warning=True)

    # Held-out worlds ----------------------------------------------------------------------------

    def evaluate_curve(self) -> None:
        """Measure a point of the learning curve."""
        count = self.config.eval.episodes
        if count:
            score = self._evaluate(count, self.config.eval.temperature, fresh=False)
            self.curve.append((self.iteration, score.rate, score.interval[0]))
            self.run.metrics(self.iteration, **score.metrics("eval"))
            what = describe.measured_on(self.config, count, self.config.eval.temperature)
            self.progress.evaluation(self.iteration, what, score, on_curve=True)
            if self.config.eval.greedy:
                greedy = self._evaluate(count, 0.0, fresh=False)
                self.run.metrics(self.iteration, **greedy.metrics("eval_greedy"))
                what = describe.measured_on(self.config, count, 0.0)
                self.progress.evaluation(self.iteration, what, greedy, on_curve=False)

    def _evaluate_fresh(self) -> Score | None:
        """Measure on the worlds that only the first and the last evaluation see."""
        count = self.config.eval.final_episodes
        if not count:
            return None
        temperature = self.config.eval.temperature
        score = self._evaluate(count, temperature, fresh=True)
        self.run.metrics(self.iteration, **score.metrics("final" if self.iteration else "first"))
        what = f"{describe.measured_on(self.config, count, temperature)} used only at both ends"
        self.progress.evaluation(self.iteration, what, score, on_curve=False)
        return score

    def _evaluate(self, count: int, temperature: float, *, fresh: bool) -> Score:
        score, groups = evaluate(
            parts.held_out_tasks(self.config, count, fresh=fresh),
            acting.player(self.config, self.scheme, self.policy, temperature),
            self.policy.backend,
            seed=self._seed(parts.EVALUATION),
            limits=parts.limits(self.config, self.policy),
            **self._how(),
        )
        self._log(groups, "eval" if temperature else "eval greedy", self.iteration)
        return score

    # Checkpoints --------------------------------------------------------------------------------

    def checkpoint(self) -> None:
        """Publish everything that the rest of the run depends on."""
        critic = self.policy.critic
        files = {
            "policy": self.policy.save,
            "optimizer.safetensors": _saver(self.learner.optimizer.tensors()),
        }
        if critic is not None:
            files["critic.safetensors"] = _saver(critic.tensors())
        self.run.save_checkpoint(
            self.iteration,
            files,
            {
                "iteration": self.iteration,
                "learner": dict(self.learner.counters()),
                "critic": None if critic is None else dict(critic.counters()),
                "watched": {k: list(v) for k, v in self._watched.items()},
                "warned": list[JSON](sorted(self._warned)),
                "shaping": self.shape.state(),
                "curve": [list(point) for point in self.curve],
                "first": None if self.first is None else self.first.as_json(),
                "elapsed_s": self.elapsed_s,
            },
        )

    def _restore(self, checkpoint: Checkpoint) -> None:
        state = cast("dict[str, Any]", checkpoint.state)
        self.learner.optimizer.load(
            load_file(checkpoint.path / "optimizer.safetensors"), state["learner"]
        )
        self.learner.version = state["learner"]["version"]
        self.policy.backend.policy_version = self.learner.version
        if self.policy.critic is not None:
            saved = load_file(checkpoint.path / "critic.safetensors")
            self.policy.critic.load(saved, state["critic"])
        self.iteration = state["iteration"]
        self._watched |= {k: list(v) for k, v in state["watched"].items()}
        self._warned = set(state["warned"])
        self.shape.load(state["shaping"])
        self.curve = [(int(i), rate, low) for i, rate, low in state["curve"]]
        self.first = None if state["first"] is None else Score(**state["first"])
        self._spent_s = state["elapsed_s"]
        self.progress.say(f"resumed after iteration {self.iteration}")

    # The end ------------------------------------------------------------------------------------

    def over(self) -> str:
        """Return why the run is over, or nothing."""
        if self.iteration >= self.config.train.iterations:
            return "all iterations are done"
        limit_s = self.config.train.time_limit_s
        if limit_s is not None and self.elapsed_s > limit_s:
            return f"the time limit of {limit_s:g} s is reached"
        target = self.config.eval.target
        if target is not None and self.curve and self.curve[-1][2] > target:
            return f"held-out success is above {target:.0%} with 95 % confidence"
        return ""

    def end(self) -> Score | None:
        """Measure and save for the last time; return the last score on the fresh worlds."""
        if not self.curve or self.curve[-1][0] != self.iteration:
            self.evaluate_curve()
        last = self._evaluate_fresh() if self.iteration else self.first
        self.checkpoint()
        self.policy.save(_emptied(self.run.path / "policy"))
        return last

    def close(self) -> None:
        """Let go of the environments and of the terminal."""
        self._pool.close()
        self.progress.stop()
        if hasattr(self, "policy"):
            self.policy.backend.close()

    def _how(self) -> dict[str, Any]:
        """Return how episodes are run, for `collect`: the same for all of them."""
        rollout = self.config.rollout
        return {
            "driver": self.scheme.driver,
            "pool": self._pool,
            "retries": rollout.retries,
            "max_failure_rate": rollout.max_failure_rate,
            "retry_pause_s": rollout.retry_pause_s,
            "on_pause": self._paused,
        }

    def _paused(self, reason: str, pause_s: float) -> None:
        self._warn(f"{reason}; trying again in {pause_s:.0f} s", self.iteration + 1)

    def _seed(self, purpose: int, iteration: int = 0) -> int:
        return int(stream(self.config, purpose, iteration).integers(2**62))

    def _log(self, groups: Sequence[Group], phase: str, step: int = 0) -> None:
        for group in groups:
            self.run.log.append_group(group, step=step, phase=phase)


def _saver(tensors: Mapping[str, Tensor]) -> Callable[[Path], None]:
    """Return what writes tensors to a path."""

    def save(path: Path) -> None:
        save_file({n: t.detach().clone().contiguous() for n, t in tensors.items()}, path)

    return save


def _emptied(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    return folder
