"""Tools played by a language model behind a real server: recorded, and replayed without it."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("aiohttp")
pytest.importorskip("accelerate")
pytest.importorskip("fastapi")
pytest.importorskip("openai")
pytest.importorskip("uvicorn")

import torch
from chat_templates import CHATML, tokenizer
from cli_run import Run
from simtools_cases import shop, written
from transformers import Qwen3Config, Qwen3ForCausalLM
from transformers_server import NAME, serving

from agentgym.chat import ScriptedChat, close_chats
from agentgym.envs.simtools.dialogue import dialogue_of
from agentgym.envs.simtools.model import ask
from agentgym.records import episodes
from agentgym.render import Renderer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

TOKENIZER = tokenizer(CHATML)
RENDERER = Renderer(TOKENIZER)
RESULT = {"order_id": "A7", "price": 12}
ANSWER = json.dumps({"result": RESULT})


def order() -> dict[str, Any]:
    """Return a dialogue of one turn: an order."""
    one = shop()
    one["tools"], one["messages"] = one["tools"][:1], one["messages"][:2]
    one["checklist"], one["plan"] = one["checklist"][:1], one["plan"][:1]
    one["checklist"][0][0]["rule"].pop("not_after")
    return one


def prompt(number: int) -> tuple[int, ...]:
    """Return what a model is asked that plays the order; no two are alike."""
    chat, tool = ScriptedChat(lambda messages, seed: ANSWER), dialogue_of(order(), "here").tools[0]
    nonce = hashlib.sha256(str(number).encode()).hexdigest()[:16]
    given = {"item": ("tea", "value 1", "rice")[number % 3], "count": number % 10}
    heard = ["Order 3 tea. What does it cost?"] if number % 4 else []
    ask(chat, tool, given, memory=(), heard=heard, nonce=nonce)
    return RENDERER.first(chat.asked[0])


def clerk() -> Any:
    """Return a small model that was taught to answer with one order, whatever is asked for."""
    torch.manual_seed(0)
    model = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=len(TOKENIZER),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=16,
            max_position_embeddings=8192,
            initializer_range=0.08,
            eos_token_id=TOKENIZER.convert_tokens_to_ids("<|im_end|>"),
        )
    )
    reply = RENDERER.reply_ids(ANSWER)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for step in range(250):
        asked = prompt(step)
        logits = model(torch.tensor([[*asked, *reply]])).logits[0, len(asked) - 1 : -1]
        loss = torch.nn.functional.cross_entropy(logits, torch.tensor(reply))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert loss.item() < 0.01
    return model.eval()


def test_a_model_plays_the_tools_and_the_replay_is_byte_equal(
    agentgym: Run, tmp_path: Path
) -> None:
    def words(folder: str, mode: str, url: str) -> list[object]:
        options = {
            "dialogues": written(tmp_path, order()), "split": "all", "cassette": tmp_path / "c",
            "simulator": f"openai:{url}#{NAME}", "cassette_mode": mode,
        }  # fmt: skip
        given = [word for k, v in options.items() for word in ("--option", f"{k}={v}")]
        return ["rollout", "simtools", "--episodes", 2, "--out", tmp_path / folder, *given]

    with serving(clerk(), TOKENIZER, RENDERER.stop_ids, tmp_path / "hub") as url:
        recorded = agentgym(*words("one", "record", url), "--agent", "expert")
        assert "mean return 1" in recorded.words
        model = ["--model", f"openai:{url}#{NAME}", "--max-tokens", 60]
        played = agentgym(*words("two", "auto", url), *model)  # it knows one sentence only
        assert "mean return 0" in played.words
        close_chats()
        content = (tmp_path / "c").read_bytes()
        agentgym(*words("three", "replay", url), "--agent", "expert")
    assert (tmp_path / "c").read_bytes() == content
    one, three = ([e.trajectory.turns for e in episodes(tmp_path / f)] for f in ("one", "three"))
    assert one == three
    assert json.loads(one[0][1].observation.text) == RESULT
