"""openai for Python: chat completions and responses whole and streamed, tools, models, embeddings, and which error each refusal is."""

import json

import openai
import pydantic

from sdk_checks import MASKED, TOKEN, URL, check, equal, finish, raises, says

BASH = [{"type": "function", "function": {"name": "Bash", "parameters": {"type": "object", "properties": {"command": {"type": "string"}}}}}]
ASKED = []
# The SDK's own client; it only counts what is asked.
client = openai.OpenAI(
    base_url=f"{URL}/v1", api_key=TOKEN, http_client=openai.DefaultHttpxClient(event_hooks={"request": [ASKED.append]})
)


def request(word, model="gpt-small", **more):
    return {"model": model, "messages": [{"role": "user", "content": f"my mail is me@home.example; {word}"}], **more}


def streamed(**asked):
    """The text, the calls by their index, the reason and the tokens of a streamed completion."""
    text, calls, reason, used = "", {}, None, None
    for chunk in client.chat.completions.create(stream=True, **asked):
        used = chunk.usage or used
        for choice in chunk.choices:
            text += choice.delta.content or ""
            reason = choice.finish_reason or reason
            for call in choice.delta.tool_calls or []:
                name, arguments = calls.get(call.index, ("", ""))
                calls[call.index] = (name + (call.function.name or ""), arguments + (call.function.arguments or ""))
    return text, list(calls.values()), reason, used


@check
def a_completion_is_masked():
    completion = client.chat.completions.create(**request("case-mask", temperature=0, max_completion_tokens=64))
    choice = completion.choices[0]
    equal((choice.message.content, choice.finish_reason, completion.usage.total_tokens), (MASKED, "stop", 18))


@check
def a_stream_is_masked():
    text, calls, reason, used = streamed(**request("case-mask"))
    equal((text, calls, reason, used), (MASKED, [], "stop", None))
    text, _, _, used = streamed(**request("case-mask", stream_options={"include_usage": True}))
    equal((text, used.total_tokens), (MASKED, 18))
    with client.chat.completions.stream(**request("case-mask")) as stream:
        for _ in stream:
            pass
        equal(stream.get_final_completion().choices[0].message.content, MASKED)


@check
def a_tool_call_that_rules_refuse_never_comes():
    message = client.chat.completions.create(**request("case-drop", tools=BASH)).choices[0]
    equal((message.message.tool_calls or [], message.finish_reason), ([], "stop"))
    text, calls, reason, _ = streamed(**request("case-drop", tools=BASH))
    equal((calls, reason), ([], "stop"))
    for said in (message.message.content, text):
        says(said, "I shall.", "Bash was refused", "sdks/no-destruction", "drop table", "Ask a person to destroy data.")


@check
def a_tool_call_that_rules_allow_comes_whole():
    choice = client.chat.completions.create(**request("case-list", tools=BASH, tool_choice="auto")).choices[0]
    call = choice.message.tool_calls[0].function
    _, calls, reason, _ = streamed(**request("case-list", tools=BASH))
    equal((choice.finish_reason, reason, len(calls)), ("tool_calls", "tool_calls", 1))
    for name, arguments in [(call.name, call.arguments), calls[0]]:
        equal((name, json.loads(arguments)), ("Bash", {"command": "ls /tmp"}))


@check
def models_and_embeddings():
    equal([model.id for model in client.models.list()], ["gpt-small"])
    equal(client.models.retrieve("gpt-small").owned_by, "system")
    # Unasked, the SDK wants Base64; both are numbers again.
    for more in ({}, {"encoding_format": "float"}):
        found = client.embeddings.create(model="text-embedding-small", input="my mail is me@home.example", **more)
        equal(found.data[0].embedding, [1.0, -0.5, 0.25])


@check
def what_a_conversation_may_have():
    call = {"id": "call_1", "type": "function", "function": {"name": "Bash", "arguments": '{"command": "ls"}'}}
    turns = [
        {"role": "developer", "content": "be brief"},
        {"role": "user", "name": "me", "content": [
            {"type": "text", "text": "look"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}},
        ]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "tmp"},
    ]
    completion = client.chat.completions.create(
        model="gpt-small", messages=turns, tools=BASH, parallel_tool_calls=False, reasoning_effort="low", seed=7, user="agent",
        stop=["END"], store=False, metadata={"of": "a test"}, max_completion_tokens=64, extra_headers={"OpenAI-Project": "other"},
    )
    equal(completion.choices[0].message.content, "Hello.")


class City(pydantic.BaseModel):
    city: str
    mail: str


@check
def an_answer_of_a_form_is_masked_in_its_form():
    completion = client.chat.completions.parse(**request("case-json", response_format=City))
    equal(completion.choices[0].message.parsed, City(city="Rome", mail="[redacted]"))


def response(word, **more):
    return {"model": "gpt-small", "input": f"my mail is me@home.example; {word}", **more}


FUNCTIONS = [{"type": "function", "name": "Bash", "parameters": {"type": "object", "properties": {"command": {"type": "string"}}}, "strict": False}]


def answers(**asked):
    """The same response three times: whole, by its events, and as the SDK puts it together of them."""
    whole = client.responses.create(**asked)
    events = list(client.responses.create(stream=True, **asked))
    equal([event.sequence_number for event in events], list(range(len(events))))
    equal((events[0].type, events[-1].type), ("response.created", "response.completed"))
    last = events[-1].response
    equal("".join(event.delta for event in events if event.type == "response.output_text.delta"), last.output_text)
    done = [event.item.to_dict() for event in events if event.type == "response.output_item.done"]
    equal(done, [item.to_dict() for item in last.output])
    with client.responses.stream(**asked) as stream:
        for _ in stream:
            pass
        return whole, last, stream.get_final_response()


@check
def a_response_is_masked():
    for answer in answers(**response("case-mask", instructions="write to me@home.example", temperature=0, max_output_tokens=64)):
        equal((answer.output_text, answer.status, answer.usage.total_tokens), (MASKED, "completed", 18))
        equal([item.type for item in answer.output], ["reasoning", "message"])
        says(answer.output[0].summary[0].text, "think of [redacted]")
        equal(answer.output[0].encrypted_content, "gAAAAABo" + "x" * 40)
        equal(answer.output[1].content[0].annotations[0].title, "by [redacted]")


@check
def a_function_call_that_rules_refuse_never_comes():
    for answer in answers(**response("case-drop", tools=FUNCTIONS)):
        equal([item.type for item in answer.output], ["reasoning", "message", "message"])
        says(answer.output_text, "I shall.", "Bash was refused", "sdks/no-destruction", "drop table", "Ask a person to destroy data.")


@check
def a_function_call_that_nobody_decides_about_never_comes():
    for answer in answers(**response("case-people", tools=FUNCTIONS)):
        equal([item.type for item in answer.output], ["reasoning", "message", "message"])
        says(answer.output_text, "I shall.", "Bash was refused", "sdks/people")


@check
def a_function_call_that_rules_allow_comes_whole_and_its_result_goes_back():
    for answer in answers(**response("case-list", tools=FUNCTIONS, tool_choice="auto", include=["reasoning.encrypted_content"])):
        call = answer.output[-1]
        equal((call.type, call.name, json.loads(call.arguments)), ("function_call", "Bash", {"command": "ls /tmp"}))
        turns = [{"role": "user", "content": "look"}, *answer.output]
        turns.append({"type": "function_call_output", "call_id": call.call_id, "output": "of me@home.example"})
        equal(client.responses.create(model="gpt-small", input=turns, tools=FUNCTIONS).output_text, "Hello.")


@check
def a_response_of_a_form_is_masked_in_its_form():
    parsed = client.responses.parse(**response("case-json", text_format=City)).output_parsed
    equal(parsed, City(city="Rome", mail="[redacted]"))


@check
def what_a_provider_keeps_does_not_pass():
    for more in (
        {"store": True},
        {"previous_response_id": "resp_0"},
        {"input": [{"type": "item_reference", "id": "resp_0"}]},
        {"tools": [{"type": "mcp", "server_label": "a", "server_url": "https://resp_0.example/"}]},
    ):
        ASKED.clear()
        raises(openai.PermissionDeniedError, lambda: client.responses.create(**{**response("hi"), **more}))
        equal(len(ASKED), 1)


@check
def a_response_that_was_cut_is_never_whole():
    for word in ("case-short", "case-broken"):
        ASKED.clear()
        broken = raises(openai.APIError, lambda: list(client.responses.create(stream=True, **response(word))))
        equal((type(broken), broken.message), (openai.APIError, "portcullis: the answer of the model broke off"))
        equal(len(ASKED), 1)


@check
def what_does_not_pass_says_so():
    ASKED.clear()
    error = raises(openai.PermissionDeniedError, lambda: client.responses.retrieve("resp_0"))
    says(str(error), "/v1/chat/completions")
    equal(len(ASKED), 1)


@check
def a_refusal_says_why_and_is_not_asked_again():
    for more in ({}, {"stream": True}):
        ASKED.clear()
        error = raises(openai.PermissionDeniedError, lambda: client.chat.completions.create(**request("hi", model="other-model", **more)))
        says(str(error), "no rule allows generate model", "other-model")
        equal(len(ASKED), 1)


@check
def a_budget_is_a_rate_limit_and_is_not_asked_again():
    ASKED.clear()
    error = raises(openai.RateLimitError, lambda: client.chat.completions.create(**request("hi", model="gpt-large")))
    says(str(error), "large")
    equal(len(ASKED), 1)


@check
def nobody_is_told_so():
    stranger = openai.OpenAI(base_url=f"{URL}/v1", api_key="nobody-issued-this")
    raises(openai.AuthenticationError, lambda: stranger.chat.completions.create(**request("hi")))


@check
def a_stream_that_was_cut_is_never_whole():
    for word in ("case-short", "case-broken"):
        ASKED.clear()
        broken = raises(openai.APIError, lambda: streamed(**request(word)))
        equal(type(broken), openai.APIError)
        equal(broken.message, "portcullis: the answer of the model broke off")
        equal(len(ASKED), 1)


@check
def the_connection_is_as_good_as_before():
    equal(client.chat.completions.create(**request("case-mask")).choices[0].message.content, MASKED)


finish()
