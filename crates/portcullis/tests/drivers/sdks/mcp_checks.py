"""mcp for Python: both eras of the protocol, a list without what rules refuse, calls that are allowed and refused."""

from mcp.client.client import Client
from mcp.client.streamable_http import create_mcp_http_client, streamable_http_client
from mcp.shared.exceptions import MCPError

from sdk_checks import TOKEN, URL, check, equal, finish, says


async def plays(mode, version):
    async with create_mcp_http_client(headers={"Authorization": f"Bearer {TOKEN}"}) as http:
        async with Client(streamable_http_client(f"{URL}/", http_client=http), mode=mode) as client:
            equal(client.protocol_version, version)
            equal([tool.name for tool in (await client.list_tools()).tools], ["echo", "run_sql"])

            allowed = await client.call_tool("echo", {"text": "hello"})
            equal((allowed.is_error, allowed.structured_content), (False, {"ssn": "[redacted]", "said": "hello"}))
            equal(allowed.content[0].text, '{"said":"hello","ssn":"[redacted]"} by [redacted]')

            refused = await client.call_tool("run_sql", {"sql": "DROP TABLE customers"})
            equal(refused.is_error, True)
            says(refused.content[0].text, "sdks/no-destruction", "drop table", "Ask a person to destroy data.")

            unlisted = await client.call_tool("wipe", {"all": "yes"})
            equal(unlisted.is_error, True)
            says(unlisted.content[0].text, "call tool wipe")

            again = await client.call_tool("echo", {"text": "still here"})
            equal(again.structured_content["said"], "still here")


@check
async def with_sessions():
    await plays("legacy", "2025-11-25")


@check
async def without_sessions():
    await plays("auto", "2026-07-28")


@check
async def nobody_is_told_so():
    try:
        async with create_mcp_http_client(headers={"Authorization": "Bearer nobody-issued-this"}) as http:
            async with Client(streamable_http_client(f"{URL}/", http_client=http), mode="legacy"):
                pass
    except Exception as error:
        while hasattr(error, "exceptions"):
            [error] = error.exceptions
        equal(type(error), MCPError)
        says(str(error), "the identity was refused")
    else:
        raise AssertionError("a stranger was let in")


finish()
