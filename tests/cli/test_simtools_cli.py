"""`agentgym rollout simtools` with tools that a server plays, and the replay without it."""

from pathlib import Path

from cli_run import Run
from openai_servers import MODELS, Got, Reply, said, serve
from simtools_cases import _shopkeeper, calls, shop, written

from agentgym.chat import close_chats
from agentgym.records.log import episodes
from agentgym.types import Message


def test_rollouts_against_a_server_are_replayed_byte_for_byte(
    agentgym: Run, tmp_path: Path
) -> None:
    """The policy is a model of the same server: it orders, and then says that it is done."""
    seen: list[int] = []

    def respond(got: Got) -> Reply:
        if got.method == "GET":
            return Reply(MODELS)
        messages = [Message(each["role"], each["content"]) for each in got.body["messages"]]
        if "You play a service" in messages[0].content:
            seen.append(1)
            return Reply(said(_shopkeeper(messages, len(seen))))
        ordered = any("order_id" in message.content for message in messages[1:])
        order = '{"item": "tea", "count": 3}'
        return Reply(said("Done." if ordered else f"Action: order\nAction Input: {order}"))

    def words(folder: str, mode: str, url: str) -> list[object]:
        options = {
            "dialogues": written(tmp_path, shop()), "split": "all", "cassette": tmp_path / "c",
            "simulator": f"openai:{url}#tiny", "cassette_mode": mode,
        }  # fmt: skip
        given = [word for k, v in options.items() for word in ("--option", f"{k}={v}")]
        return ["rollout", "simtools", "--episodes", 4, "--out", tmp_path / folder, *given]

    with serve(respond) as server:
        model = ["--model", f"openai:{server.url}#tiny", "--max-tokens", 60]
        recorded = agentgym(*words("one", "record", server.url), *model, "--driver", "threaded")
        assert "mean return 0.3" in recorded.words
        asked, content = len(seen), (tmp_path / "c").read_bytes()
        assert asked >= 1
        agentgym(*words("two", "replay", server.url), *model)
        assert len(seen) == asked
        close_chats()
    assert (tmp_path / "c").read_bytes() == content
    one, two = ([e.trajectory.turns for e in episodes(tmp_path / f)] for f in ("one", "two"))
    assert one == two
    assert one[0][0].action == calls(("order", {"item": "tea", "count": 3}))
