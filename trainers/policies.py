"""Small policies with random weights, and a tokenizer learned from the text of environments.

The tokenizer spends one token on what an agent speaks and reads as one thing: an entity
("cabinet 3"), a stock phrase ("go to", "is closed."), a word. Everything else falls back to bytes,
so any text can be encoded, and decoding restores it exactly. Actions of a text game become three
to five tokens, which is what lets a policy of half a million weights learn one in minutes.
"""

import functools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from agentgym.env import TextEnv
from agentgym.errors import ConfigError, UnknownName
from agentgym.toolcalls import Reply, ToolFormat, in_words, tool_format
from agentgym.types import Observation

END, PAD = "<|end|>", "<|pad|>"
ROLE_TOKENS = ("<|system|>", "<|user|>", "<|assistant|>", "<|tool|>")

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] != 'user' or loop.first or loop.previtem['role'] != 'assistant' %}"
    "{{ '<|' + message['role'] + '|>' }}"
    "{% endif %}"
    "{{ message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ '<|end|>' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
"""Two tokens of markup per turn: a reply ends with `<|end|>`, and what follows it is the user's."""

FUNCTION_WORDS = (
    "a|an|and|are|at|between|by|for|from|in|is|least|most|number|of|on|only|or|over|than|the|to|"
    "under|until|was|were|with|within"
)
"""Words that may stand before a number without naming a thing."""

MAX_PHRASES = 512
"""Each stands in the pattern that splits text, and costs time at every position of it."""

_NUMBERED = rf" ?(?!(?i:{FUNCTION_WORDS}) )\p{{L}}+ \p{{N}}+(?![\p{{L}}\p{{N}}])"
_ATOM = _NUMBERED + r"| ?\p{L}+(?:'\p{L}+)?| ?\p{N}+|\n+| ?[^\s\p{L}\p{N}]|\s"


@dataclass(frozen=True, slots=True)
class Preset:
    """The shape of a random-weight decoder."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    intermediate: int
    context: int  #: tokens
    max_vocabulary: int


PRESETS: Mapping[str, Preset] = {
    "tiny": Preset(128, 2, 4, 2, 384, 2048, 4096),  # about 0.45 million weights
    "small": Preset(256, 4, 8, 4, 768, 4096, 16384),  # about 3.5 million weights
}


def new_policy(
    folder: str | Path,
    *,
    preset: str = "tiny",
    texts: Iterable[str],
    seed: int,
    initializer_range: float = 0.08,
) -> Path:
    """Write a random-weight decoder and a tokenizer learned from `texts`, in Hugging Face format.

    Equal arguments give equal files. The vocabulary is part of what is written: a checkpoint and
    its tokenizer are never separated.

    Args:
        folder: where to write; must not exist or be empty.
        preset: one of `PRESETS`.
        texts: what the tokenizer learns from; see `gather_texts`.
        seed: draws the weights.
        initializer_range: standard deviation of the weights. 0.08 instead of the usual 0.02 is the
            largest single lever on how fast so small a model learns to copy and bind names.

    Returns:
        The folder, which `AutoModelForCausalLM` and `AutoTokenizer` load.

    Raises:
        UnknownName: no such preset.
        ConfigError: the folder is not empty, or there are no texts.
    """
    if preset not in PRESETS:
        raise UnknownName("policy preset", preset, PRESETS)
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder} exists and is not empty; name another folder for the policy")
    shape = PRESETS[preset]
    tokenizer = learn_tokenizer(texts, max_vocabulary=shape.max_vocabulary)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=shape.hidden // shape.heads,
        intermediate_size=shape.intermediate,
        max_position_embeddings=shape.context,
        initializer_range=initializer_range,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.convert_tokens_to_ids(END),
        pad_token_id=tokenizer.convert_tokens_to_ids(PAD),
        dtype="float32",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen3ForCausalLM(config)
    model.generation_config.eos_token_id = config.eos_token_id
    model.generation_config.pad_token_id = config.pad_token_id
    folder.mkdir(parents=True, exist_ok=True)
    config.architectures = ["Qwen3ForCausalLM"]
    config.save_pretrained(folder)
    model.generation_config.save_pretrained(folder)
    weights = {
        name: w for name, w in model.state_dict().items() if name != "lm_head.weight"
    }  # tied
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    tokenizer.model_max_length = shape.context
    tokenizer.save_pretrained(folder)
    return folder


def learn_tokenizer(
    texts: Iterable[str], *, max_vocabulary: int = 4096, min_count: int = 8
) -> PreTrainedTokenizerFast:
    """Learn a vocabulary of entities, stock phrases, words and bytes.

    Deterministic; the order of the texts does not matter.

    Raises:
        ConfigError: no texts, or too small a `max_vocabulary`.
    """
    counts = Counter(text for text in texts if text)
    if not counts:
        raise ConfigError("a tokenizer needs text to learn from, and there is none")
    special = [PAD, END, *ROLE_TOKENS]
    room = max_vocabulary - 256 - len(special)
    if room < 1:
        raise ConfigError(
            f"max_vocabulary must be above {256 + len(special)}, got {max_vocabulary}"
        )
    rows = _atoms(counts)
    atoms = Counter[str]()
    for row, count in rows:
        for atom in row:
            atoms[atom] += count
    names = _numbered_names(atoms)
    phrases = _phrases(rows, names, min_count)
    pieces = _by_count(phrases)[: min(room, MAX_PHRASES)]
    pieces += _by_count(_complete_numbers(atoms))[: room - len(pieces)]
    return _build(pieces, [p for p in pieces if p in phrases], special)


NONSENSE = "say hello"
"""An action that no environment is expected to understand; what it answers to that is common."""


def gather_texts(
    env: TextEnv,
    seeds: Sequence[int],
    *,
    noise: float = 0.3,
    max_turns: int = 50,
    tool_calls: str = "auto",
) -> list[str]:
    """Return the texts of one episode per seed, played by a noisy expert; for `learn_tokenizer`.

    With probability `noise` (always, where the environment has no expert) the action is drawn from
    the admissible ones, if the environment lists them, and in one turn of twenty it is nonsense.
    Instructions, observations, actions and admissible actions are gathered. Deterministic for a
    deterministic environment. Calls of tools and their results are written as a policy with
    `CHAT_TEMPLATE`, which knows no tools, writes and sees them: in the format `tool_calls`.
    """
    texts = []
    form = tool_format("react" if tool_calls == "auto" else tool_calls)
    for seed in seeds:
        rng = np.random.Generator(np.random.Philox(seed))
        observation, info = env.reset(seed=seed)
        texts += [env.instructions, observation]
        for _ in range(max_turns):
            admissible = list(info.get("admissible_commands") or ())
            texts.extend(admissible)
            draw = rng.random()
            action = None if admissible and draw < noise else env.expert()
            if draw > 0.95:
                action = NONSENSE
            elif action is None and admissible:
                action = admissible[int(rng.integers(len(admissible)))]
            if action is None:
                break
            texts += [] if action == NONSENSE else [_written(env, action, form)]
            observation, _, terminated, truncated, info = env.step(action)
            texts.append(_shown(observation, info, form))
            if terminated or truncated:
                break
    return texts


def _written(env: TextEnv, action: str, form: ToolFormat) -> str:
    """Return an action as a policy says it."""
    if not env.tools:
        return action
    reply = Reply.of_action(action)
    return form.write(reply.calls, reply.text)


def _shown(observation: str, info: Mapping[str, Any], form: ToolFormat) -> str:
    """Return an observation as a policy sees it."""
    messages = Observation(observation, tuple(info.get("messages", ()))).as_messages()
    return "\n".join(message.content for message in in_words(form, messages, told=False))


# Learning the pieces -----------------------------------------------------------------------------


def _atoms(counts: Mapping[str, int]) -> list[tuple[list[str], int]]:
    """Split each text into numbered names, words, numbers, marks; keep how often it occurs."""
    split = pre_tokenizers.Split(Regex(_ATOM), behavior="isolated")
    return [
        ([piece for piece, _ in split.pre_tokenize_str(text)], count)
        for text, count in sorted(counts.items())
    ]


def _is_numbered(atom: str) -> bool:
    name, _, number = atom.strip().partition(" ")
    return name.isalpha() and number.isdecimal()


def _numbered_names(atoms: Mapping[str, int]) -> set[str]:
    return {atom.split()[0].lower() for atom in atoms if _is_numbered(atom)}


def _complete_numbers(atoms: Mapping[str, int]) -> Counter[str]:
    """Add "cabinet 1" ... "cabinet 5" where "cabinet 6" was seen: gaps are accidents."""
    complete = Counter(atoms)
    for atom in atoms:
        if _is_numbered(atom):
            name, number = atom.rsplit(" ", 1)
            if int(number) <= 99:
                for lower in range(1, int(number)):
                    complete[f"{name} {lower}"] += 0
    return complete


def _phrases(
    rows: list[tuple[list[str], int]], names: set[str], min_count: int, max_atoms: int = 24
) -> Counter[str]:
    """Join neighbours that nearly always go together, round by round; return the phrases kept.

    A pair is joined when it occurs at least `min_count` times and in at least half the occurrences
    of its rarer part. Numbers and the names of numbered things stay apart, so that a name is the
    same token wherever it occurs; nothing is joined across a line break.
    """
    rows = [(list(row), count) for row, count in rows]
    length: dict[str, int] = {}

    @functools.cache
    def fixed(atom: str) -> bool:
        bare = atom.strip()
        return bare.lower() in names or not bare or any(c.isdecimal() for c in bare)

    for _ in range(16):
        single, pairs = Counter[str](), Counter[tuple[str, str]]()
        for row, count in rows:
            for i, atom in enumerate(row):
                single[atom] += count
                if i and not fixed(row[i - 1]) and not fixed(atom):
                    pairs[row[i - 1], atom] += count
        joined = {
            pair
            for pair, count in pairs.items()
            if count >= min_count
            and 2 * count >= min(single[pair[0]], single[pair[1]])
            and length.get(pair[0], 1) + length.get(pair[1], 1) <= max_atoms
        }
        if not joined:
            break
        for row, _ in rows:
            _join(row, joined, pairs, length)
    found = Counter[str]()
    for row, count in rows:
        for atom in row:
            if length.get(atom, 1) > 1:
                found[atom] += count
    return Counter({atom: count for atom, count in found.items() if count >= min_count})


def _join(
    row: list[str],
    joined: set[tuple[str, str]],
    pairs: Mapping[tuple[str, str], int],
    length: dict[str, int],
) -> None:
    """Join in place, the commoner of two overlapping pairs first."""
    i = 0
    while i + 1 < len(row):
        pair = (row[i], row[i + 1])
        following = (row[i + 1], row[i + 2]) if i + 2 < len(row) else None
        if pair not in joined or (following in joined and pairs[following] > pairs[pair]):
            i += 1
            continue
        whole = pair[0] + pair[1]
        length[whole] = length.get(pair[0], 1) + length.get(pair[1], 1)
        row[i : i + 2] = [whole]
        i += 1


def _by_count(counts: Mapping[str, int]) -> list[str]:
    return sorted(counts, key=lambda piece: (-counts[piece], piece))


def _build(
    pieces: Sequence[str], phrases: Sequence[str], special: Sequence[str]
) -> PreTrainedTokenizerFast:
    """Put the tokenizer together: split into pieces, look each up, spell unknown ones in bytes."""
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    spelled = ["".join(part for part, _ in to_bytes.pre_tokenize_str(piece)) for piece in pieces]
    vocabulary = {
        token: index for index, token in enumerate(dict.fromkeys([*special, *alphabet, *spelled]))
    }
    # A BPE model without merges: a piece is one token when it is in the vocabulary, else its bytes.
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], ignore_merges=True))
    longest_first = sorted(phrases, key=lambda phrase: (-len(phrase), phrase))
    pattern = "|".join([*map(_literal, longest_first), _ATOM])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(pattern), behavior="isolated"), to_bytes]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in special])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=list(ROLE_TOKENS),
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


def _literal(phrase: str) -> str:
    """Return a pattern for exactly this phrase, not followed by more of its last word."""
    escaped = "".join(c if c.isalnum() or c in " '" else f"\\x{{{ord(c):x}}}" for c in phrase)
    return escaped + (r"(?!'?\p{L})" if phrase[-1].isalpha() else "")
