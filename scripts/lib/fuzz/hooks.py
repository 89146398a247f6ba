"""Makes generated requests meet what is really there.

Random ids find nobody, random tickets are spent, and random cursors are refused: half of the requests that
are meant to be valid get the id of a living bot, an open market, a fresh ticket or a real
cursor instead, so that what lies behind the first check is reached too.
"""

import json
import os
import random
import threading
import urllib.request

import schemathesis

API = os.environ["FUZZ_API"]
SECRET = os.environ["FUZZ_SECRET"]
OPERATOR = os.environ["FUZZ_OPERATOR"]
HANDLE = os.environ["FUZZ_HANDLE"]
API_KEY = os.environ["FUZZ_KEY"]
DICE = random.Random(int(os.environ["FUZZ_SEED"]))
LOCK = threading.Lock()
CURSORS = {}
STATUSES = {}


def ask(method, path, body=None, **headers):
    data = None if body is None else json.dumps(body).encode()
    headers["Content-Type"] = "application/json"
    request = urllib.request.Request(API + path, data, headers, method=method)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def operator():
    return {"Authorization": f"Bearer {OPERATOR}"}


def fresh_bot():
    """A bot that nobody minds losing."""
    with LOCK:
        handle = f"victim-{DICE.randrange(10**9)}"
    return ask("POST", "/bots", {"handle": handle})["id"]


def open_market(source=None):
    query = "/markets?status=OPEN&limit=20" + (f"&source={source}" if source else "")
    markets = ask("GET", query)["items"]
    with LOCK:
        return DICE.choice(markets)["id"] if markets else None


def is_valid(case):
    """Whether the request is meant to be accepted."""
    return case.meta is None or case.meta.generation.mode.name == "POSITIVE"


@schemathesis.hook
def before_call(context, case, **kwargs):
    if not is_valid(case):
        spare_the_fuzzer(case)
        return
    with LOCK:
        heads = DICE.random() < 0.5
    method, path = case.method.upper(), case.operation.path
    # A made-up cursor is no cursor, however well it looks.
    if case.query and "cursor" in case.query:
        known = CURSORS.get(path)
        if known:
            case.query["cursor"] = known
        else:
            del case.query["cursor"]
    if heads:
        meet(method, path, case)
    spare_the_fuzzer(case)


def meet(method, path, case):
    if "{bot}" in path:
        destroys = method == "DELETE" or path.endswith("/keys")
        case.path_parameters["bot"] = str(fresh_bot()) if destroys else HANDLE
    if "{market}" in path:
        source = "RESEARCH" if path.endswith("/answers") else None
        case.path_parameters["market"] = open_market(source) or case.path_parameters["market"]
    if not isinstance(case.body, dict):
        return
    if path == "/arena/action":
        seen = ask("GET", "/arena/observation", **{"X-Agent-Secret": SECRET})
        case.body["observation_id"] = seen["observation_id"]
    if path == "/auth/token":
        case.body = {"handle": HANDLE, "api_key": API_KEY}
    if path == "/markets/bets":
        for bet in case.body.get("bets", []):
            bet["market_id"] = open_market() or bet["market_id"]


def spare_the_fuzzer(case):
    """Nobody retires, kills or locks out the bot that the other requests act for."""
    path = case.operation.path
    ends = case.method.upper() == "DELETE" or path.endswith("/keys")
    if ends and "{bot}" in path and str((case.path_parameters or {}).get("bot", "")).lower() in NAMES:
        case.path_parameters["bot"] = "zz-nobody"


NAMES = {HANDLE.lower(), os.environ["FUZZ_BOT"]}


@schemathesis.hook
def after_call(context, case, response):
    key = f"{case.method.upper()} {case.operation.path}"
    with LOCK:
        counts = STATUSES.setdefault(key, {})
        counts[response.status_code] = counts.get(response.status_code, 0) + 1
        with open(os.environ["FUZZ_STATUSES"] + ".new", "w", encoding="utf-8") as out:
            json.dump(STATUSES, out)
        os.replace(os.environ["FUZZ_STATUSES"] + ".new", os.environ["FUZZ_STATUSES"])
    if response.status_code == 200 and case.query is not None and case.method.upper() == "GET":
        try:
            CURSORS[case.operation.path] = response.json().get("next_cursor") or CURSORS.get(case.operation.path)
        except (ValueError, AttributeError):
            pass
