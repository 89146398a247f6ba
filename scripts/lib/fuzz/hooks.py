"""Makes generated requests meet what is really there.

Random ids find nobody, random observations are spent, and random cursors are refused: half of the requests that
are meant to be valid get the id of a living bot, an open market, a fresh observation or a real
cursor instead, so that what lies behind the first check is reached too.
"""

import json
import os
import random
import threading
import urllib.request
from datetime import datetime, timedelta, timezone
from urllib.parse import urlsplit

import schemathesis

API = os.environ["FUZZ_API"]
SECRET = os.environ["FUZZ_SECRET"]
OPERATOR = os.environ["FUZZ_OPERATOR"]
HANDLE = os.environ["FUZZ_HANDLE"]
API_KEY = os.environ["FUZZ_KEY"]
DICE = random.Random(int(os.environ["FUZZ_SEED"]))
LOCK = threading.Lock()
# Of every research question that is made here.
ANSWER = "1040387"
MORGUE = os.environ["FUZZ_DEAD"].split()
CURSORS = {}
# Goes on from what an earlier round counted.
try:
    with open(os.environ["FUZZ_STATUSES"], encoding="utf-8") as counted:
        STATUSES = json.load(counted)
except FileNotFoundError:
    STATUSES = {}


def ask(method, path, body=None, **headers):
    data = None if body is None else json.dumps(body).encode()
    headers["Content-Type"] = "application/json"
    request = urllib.request.Request(API + path, data, headers, method=method)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def roll(most):
    """A whole number below `most`."""
    with LOCK:
        return DICE.randrange(most)


def as_operator(method, path, body):
    return ask(method, path, body, Authorization=f"Bearer {OPERATOR}")


def fresh_bot():
    """A bot that nobody minds losing."""
    return ask("POST", "/bots", {"handle": f"victim-{roll(10**9)}"})["id"]


def dead_bot():
    """One of those that were ruined before the run; anybody once these are used up."""
    with LOCK:
        return MORGUE.pop() if MORGUE else HANDLE


def deadline(**later):
    return (datetime.now(timezone.utc) + timedelta(**later)).isoformat()


def fresh_market(source="GITHUB"):
    """A market of an operator that nobody has bet on or answered."""
    name = f"fuzz-{roll(10**9)}"
    market = {"source": source, "description": "", "bounty": "0", "deadline": deadline(days=2)}
    if source == "RESEARCH":
        market |= {"criteria": {"article": name}, "answer": ANSWER}
    else:
        market["criteria"] = {"repository": f"fuzz/{name}", "comparison": ">=", "stars": 1000}
    return as_operator("POST", "/markets", market)["id"]


def kept_evidence():
    """A market of the maker's and a fetch that was kept for it, if there is one by now."""
    for market in ask("GET", "/markets?source=WEATHER&limit=50")["items"]:
        kept = ask("GET", f"/markets/{market['id']}/evidence?limit=1")["items"]
        if kept:
            return market["id"], str(kept[0]["id"])
    return None


def is_valid(case):
    """Whether the request is meant to be accepted."""
    return case.meta is None or case.meta.generation.mode.name == "POSITIVE"


@schemathesis.hook
def before_call(context, case, **kwargs):
    if not is_valid(case):
        spare_the_fuzzer(case)
        return
    heads = roll(2) == 0
    method, path = case.method.upper(), case.operation.path
    # A made-up cursor is no cursor, however well it looks.
    if case.query and "cursor" in case.query:
        known = CURSORS.get(path)
        if known:
            case.query["cursor"] = known
        else:
            del case.query["cursor"]
    # Two names of one parameter, of which a request gives one.
    if case.query and "bot" in case.query:
        case.query.pop("bot_id", None)
    if heads:
        meet(method, path, case)
    spare_the_fuzzer(case)


def meet(method, path, case):
    if "{bot}" in path:
        destroys = method == "DELETE" or path.endswith("/keys")
        case.path_parameters["bot"] = str(fresh_bot()) if destroys else HANDLE
        if path.endswith("/revive"):
            case.path_parameters["bot"] = str(dead_bot())
    if "{market}" in path:
        source = "RESEARCH" if path.endswith("/answers") else "GITHUB"
        case.path_parameters["market"] = fresh_market(source)
    if "{evidence}" in path and (kept := kept_evidence()):
        case.path_parameters["market"], case.path_parameters["evidence"] = kept
    if "{digest}" in path:
        case.path_parameters["digest"] = ask("GET", "/economy")["rules"]
    if isinstance(case.body, dict):
        mend(path, case.body)


def mend(path, body):
    """What no schema can say: what is there, what can be paid, when it is, and what is a part of what."""
    if path == "/auth/token":
        body.clear()
        body |= {"handle": HANDLE, "api_key": API_KEY}
    if path == "/bots":
        body["handle"] = f"newcomer-{roll(10**9)}"
    if path == "/arena/action":
        body["observation_id"] = ask("GET", "/arena/observation", **{"X-Agent-Secret": SECRET})["observation_id"]
    if path == "/markets":
        mend_market(body)
    if path.endswith("/revive"):
        body["amount"] = f"{1 + roll(100)}.25"
    if path.endswith("/answers") and roll(2):
        body["answer"] = ANSWER
    bets = body.get("bets")
    for bet in bets if isinstance(bets, list) else []:
        bet["market_id"] = fresh_market()
    for bet in [body, *(bets if isinstance(bets, list) else [])]:
        for stake in ("stake", "wager_amount"):
            if isinstance(bet.get(stake), str):
                bet[stake] = f"{1 + roll(5)}.50"
    usage = body.get("usage")
    if isinstance(usage, dict):
        for part, whole in (("cached_input_tokens", "input_tokens"), ("reasoning_tokens", "output_tokens")):
            if isinstance(usage.get(part), int):
                usage[part] = min(usage[part], usage[whole])
        for name in ("provider", "model"):
            usage[name] = "".join(letter for letter in usage[name] if letter.isprintable()) or "m"


def mend_market(body):
    """A subject that nobody asks about yet, and an answer where there is one."""
    body |= {"deadline": deadline(hours=1 + roll(20)), "bounty": f"{roll(5)}.50"}
    if body.get("answer") is not None:
        body["answer"] = ANSWER
    criteria = body.get("criteria")
    if not isinstance(criteria, dict):
        return
    subject = f"fuzz-{roll(10**9)}"
    values = {"city": subject, "article": subject, "keyword": subject, "repository": f"fuzz/{subject}"}
    values["latitude"] = f"{roll(90)}.5"
    criteria |= {name: value for name, value in values.items() if name in criteria}


def spare_the_fuzzer(case):
    """Nobody retires or locks out the bots that others act for."""
    path = case.operation.path
    ends = case.method.upper() == "DELETE" or path.endswith("/keys")
    if not ends or "{bot}" not in path:
        return
    name = str((case.path_parameters or {}).get("bot", "")).lower()
    # 007 is 7.
    if (str(int(name)) if name.isascii() and name.isdigit() else name) in NAMES:
        case.path_parameters["bot"] = "zz-nobody"


# Who was there before the run: the fuzzer, and the hosted bots, whose runner must keep its keys.
NAMES = {
    name.lower()
    for bot in ask("GET", "/bots?limit=200")["items"]
    if bot["hosted"] or bot["handle"] == HANDLE
    for name in (bot["handle"], str(bot["id"]))
}


@schemathesis.hook
def after_call(context, case, response):
    key = f"{case.method.upper()} {case.operation.path}"
    with LOCK:
        counts = STATUSES.setdefault(key, {})
        status = str(response.status_code)
        counts[status] = counts.get(status, 0) + 1
        with open(os.environ["FUZZ_STATUSES"] + ".new", "w", encoding="utf-8") as out:
            json.dump(STATUSES, out)
        os.replace(os.environ["FUZZ_STATUSES"] + ".new", os.environ["FUZZ_STATUSES"])
    # What is paused is resumed at once, or nothing else would be reached any more.
    if response.status_code == 200 and case.operation.path.endswith("/pause"):
        as_operator("POST", urlsplit(response.request.url).path.removesuffix("pause") + "resume", {})
    if response.status_code == 200 and case.query is not None and case.method.upper() == "GET":
        try:
            CURSORS[case.operation.path] = response.json().get("next_cursor") or CURSORS.get(case.operation.path)
        except (ValueError, AttributeError):
            pass
