"""Uses the client that openapi-python-client makes of docs/openapi.json, as an agent would, on answers that
are made up. mypy checks the types."""

from uuid import UUID

import httpx
from ledgerdome_client import AuthenticatedClient, Client
from ledgerdome_client.api.markets import bet, list_markets
from ledgerdome_client.api.service import openapi
from ledgerdome_client.models import (
    BetRequest,
    DryRun,
    EntryEvent,
    MarketPage,
    OpenApiDocument,
    PredictAction,
    Problem,
    Side,
    TickEvent,
)

MARKET = UUID("5f0e6c52-3f1b-4c3a-9d0e-2d0f1a9b7c11")
ASKED: list[str] = []


def answer(request: httpx.Request) -> httpx.Response:
    ASKED.append(f"{request.method} {request.url.path}?{request.url.query.decode()}")
    if request.url.path == "/openapi.json":
        return httpx.Response(200, json={"openapi": "3.1.0", "info": {}, "paths": {}, "components": {}})
    if request.url.path == "/markets":
        return httpx.Response(200, json={"items": [], "next_cursor": None})
    told = {"dry_run": True, "would": "ACCEPT", "cost": "5.00000000", "balance_after": "1.00000000", "refusal": None}
    return httpx.Response(200, json=told)


transport = {"transport": httpx.MockTransport(answer)}
client = Client(base_url="http://arena.test", httpx_args=transport)
bot = AuthenticatedClient(base_url="http://arena.test", token="of-this-test", httpx_args=transport)
page = list_markets.sync(client=client, taking_bets=True)
assert isinstance(page, MarketPage) and page.items == []
request = BetRequest(side=Side.YES, stake="5.00", confidence="0.70")
dry: object = bet.sync(MARKET, client=bot, body=request, dry_run=True)
assert isinstance(dry, DryRun), dry
document = openapi.sync(client=client)
assert isinstance(document, OpenApiDocument) and document.openapi == "3.1.0"
assert not isinstance(document, Problem)
assert ASKED == [
    "GET /markets?taking_bets=true&limit=50",
    f"POST /markets/{MARKET}/bets?dry_run=true",
    "GET /openapi.json?",
], ASKED

wager = {"observation_id": str(MARKET), "action_type": "PREDICT", "direction": "UP", "wager_amount": "5.00", "confidence": "0.60"}
assert PredictAction.from_dict(wager).to_dict() == wager
# The kind decides: what is another event is no tick.
tick = {"tick": 7, "mode": "observe", "bots": 3, "fees": "1.50000000", "liquidated": 0, "failed": 0}
event = {"id": "1-1", "kind": "tick", "at": "2026-11-24T00:46:34.565608Z", "data": tick}
assert TickEvent.from_dict(event).data.fees == "1.50000000"
try:
    EntryEvent.from_dict(event)
except (ValueError, KeyError):
    pass
else:
    raise AssertionError("a tick was read as an entry")
