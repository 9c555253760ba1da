"""anthropic for Python: messages whole and streamed, tools, tokens, models, and which error each refusal is."""

import anthropic
import pydantic

from sdk_checks import MASKED, TOKEN, URL, check, equal, finish, raises, says

BASH = [{"name": "Bash", "description": "Runs a command.", "input_schema": {"type": "object", "properties": {"command": {"type": "string"}}}}]
ASKED = []
# The SDK's own client; it only counts what is asked.
client = anthropic.Anthropic(
    base_url=URL, auth_token=TOKEN, http_client=anthropic.DefaultHttpxClient(event_hooks={"request": [ASKED.append]})
)


def request(word, model="claude-small", **more):
    return {"model": model, "max_tokens": 64, "messages": [{"role": "user", "content": f"my mail is me@home.example; {word}"}], **more}


@check
def a_message_is_masked():
    message = client.messages.create(**request("case-mask", system="be brief", metadata={"user_id": "agent-7"}))
    equal(message.content[0].text, MASKED)
    equal((message.stop_reason, message.usage.output_tokens), ("end_turn", 7))


@check
def a_token_is_a_key():
    message = anthropic.Anthropic(base_url=URL, api_key=TOKEN).messages.create(**request("case-mask"))
    equal(message.content[0].text, MASKED)


@check
def a_stream_is_masked():
    with client.messages.stream(**request("case-mask")) as stream:
        equal("".join(stream.text_stream), MASKED)
        message = stream.get_final_message()
    equal((message.content[0].text, message.stop_reason), (MASKED, "end_turn"))
    equal((message.usage.input_tokens, message.usage.output_tokens), (11, 7))
    events = [event.type for event in client.messages.create(**request("case-mask", stream=True))]
    equal((events[0], events[-1]), ("message_start", "message_stop"))


@check
async def another_task_streams_the_same():
    async with anthropic.AsyncAnthropic(base_url=URL, auth_token=TOKEN) as other:
        async with other.messages.stream(**request("case-mask")) as stream:
            equal("".join([text async for text in stream.text_stream]), MASKED)


def turn(streams, word):
    if not streams:
        return client.messages.create(**request(word, tools=BASH))
    with client.messages.stream(**request(word, tools=BASH)) as stream:
        return stream.get_final_message()


@check
def a_tool_call_that_rules_refuse_never_comes():
    for streams in (False, True):
        message = turn(streams, "case-drop")
        equal([block.type for block in message.content], ["text", "text"])
        equal(message.stop_reason, "end_turn")
        says(message.content[1].text, "Bash was refused", "sdks/no-destruction", "drop table", "Ask a person to destroy data.")


@check
def a_tool_call_that_rules_allow_comes_whole():
    for streams in (False, True):
        message = turn(streams, "case-list")
        equal([block.type for block in message.content], ["text", "tool_use"])
        call = message.content[1]
        equal((call.name, call.input, message.stop_reason), ("Bash", {"command": "ls /tmp"}, "tool_use"))


@check
def tokens_and_models():
    equal(client.messages.count_tokens(model="claude-small", messages=[{"role": "user", "content": "hi"}], tools=BASH).input_tokens, 42)
    equal([model.id for model in client.models.list()], ["claude-small"])
    equal([model.id for model in client.models.list(limit=5)], ["claude-small"])
    equal(client.models.retrieve("claude-small").display_name, "Small")


@check
def what_a_conversation_may_have():
    pixel = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
    document = {"type": "text", "media_type": "text/plain", "data": "of me@home.example"}
    turns = [
        {"role": "user", "content": [
            {"type": "image", "source": pixel},
            {"type": "document", "source": document, "title": "notes", "cache_control": {"type": "ephemeral"}},
            {"type": "text", "text": "look"},
        ]},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "hm", "signature": "c2lnbmF0dXJl"},
            {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {"command": "ls"}},
        ]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "toolu_1", "is_error": True, "content": [{"type": "text", "text": "no"}]},
        ]},
    ]
    message = client.messages.create(
        model="claude-small", max_tokens=2048, messages=turns, tools=BASH, tool_choice={"type": "auto"},
        system=[{"type": "text", "text": "be brief", "cache_control": {"type": "ephemeral"}}],
        stop_sequences=["END"], thinking={"type": "enabled", "budget_tokens": 1024}, service_tier="auto",
    )
    equal(message.content[0].text, "The tool has run.")


class City(pydantic.BaseModel):
    city: str
    mail: str


@check
def an_answer_of_a_form_is_masked_in_its_form():
    message = client.messages.parse(**request("case-json", output_format=City))
    equal(message.parsed_output, City(city="Rome", mail="[redacted]"))


@check
def a_runner_of_tools_runs_what_is_allowed():
    ran = []

    @anthropic.beta_tool(name="Bash")
    def bash(command: str) -> str:
        """Runs a command."""
        ran.append(command)
        return "tmp"

    for word, said in (("case-list", "The tool has run."), ("case-drop", "Bash was refused")):
        for streams in (False, True):
            ran.clear()
            runner = client.beta.messages.tool_runner(**request(word, tools=[bash], stream=streams))
            message = runner.until_done()
            says(message.content[-1].text, said)
            equal(ran, ["ls /tmp"] if word == "case-list" else [])


@check
def betas_reach_the_provider():
    message = client.beta.messages.create(**request("case-mask", betas=["token-counting-2024-11-01", "context-management-2025-06-27"]))
    equal(message.content[0].text, MASKED)


@check
def a_refusal_says_why_and_is_not_asked_again():
    for more in ({}, {"stream": True}):
        ASKED.clear()
        error = raises(anthropic.PermissionDeniedError, lambda: client.messages.create(**request("hi", model="other-model", **more)))
        says(str(error), "no rule allows generate model", "other-model")
        equal((error.body["error"]["type"], len(ASKED)), ("permission_error", 1))
    tool = {"name": "Wipe", "input_schema": {"type": "object"}}
    error = raises(anthropic.PermissionDeniedError, lambda: client.messages.create(**request("hi", tools=[tool])))
    says(str(error), "no rule allows call tool", "Wipe")


@check
def a_budget_is_a_rate_limit_and_is_not_asked_again():
    for more in ({}, {"stream": True}):
        ASKED.clear()
        error = raises(anthropic.RateLimitError, lambda: client.messages.create(**request("hi", model="claude-large", **more)))
        says(str(error), "large")
        equal(len(ASKED), 1)


@check
def nobody_is_told_so():
    for key in ({"auth_token": "nobody-issued-this"}, {"api_key": "nobody-issued-this"}):
        stranger = anthropic.Anthropic(base_url=URL, **key)
        raises(anthropic.AuthenticationError, lambda: stranger.messages.create(**request("hi")))


@check
def a_stream_that_was_cut_is_never_whole():
    for word in ("case-short", "case-broken"):
        def read():
            with client.messages.stream(**request(word)) as stream:
                return stream.get_final_message()

        def iterate():
            return list(client.messages.create(**request(word, stream=True)))

        for way in (read, iterate):
            ASKED.clear()
            says(str(raises(anthropic.APIStatusError, way)), "portcullis: the answer of the model broke off")
            equal(len(ASKED), 1)


@check
def the_connection_is_as_good_as_before():
    equal(client.messages.create(**request("case-mask")).content[0].text, MASKED)


finish()
