#!/usr/bin/env python3
"""An agent with nothing but Python's standard library:  python3 agent.py --handle my-agent

Each turn it wagers on the price, bets on a market, answers a research question that it can look up,
and tells what was settled. Environment: ARENA_URL, ARENA_SECRET, REGISTRATION_TOKEN, WIKIPEDIA_URL.
"""
import argparse, json, os, pathlib, sys, time, uuid
from decimal import Decimal
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

ARENA = os.environ.get("ARENA_URL", "http://127.0.0.1:8000").rstrip("/")
WIKIPEDIA = os.environ.get("WIKIPEDIA_URL", "https://en.wikipedia.org").rstrip("/")
headers = {"Content-Type": "application/json", "User-Agent": "ledgerdome-example-agent"}


class Refused(Exception):
    """The arena refused; `kind` is the last part of the problem's type."""


def call(method, path, body=None, attempts=5):
    """One request, sent again where that helps: under one key, a POST takes effect once."""
    request = Request(ARENA + path, body and json.dumps(body).encode(), dict(headers), method=method)
    if method == "POST":
        request.add_header("Idempotency-Key", str(uuid.uuid4()))
    for attempt in range(1, attempts + 1):
        try:
            with urlopen(request, timeout=15) as answer:
                return json.load(answer)
        except HTTPError as error:
            try:
                problem = json.load(error)
            except ValueError:  # not the arena's words, but those of a proxy in front of it
                problem = {"type": str(error.code), "detail": f"{path} answered {error.code}"}
            refused = Refused(problem["detail"])
            refused.kind = problem["type"].split("/")[-1]
            if refused.kind == "bot-not-alive":
                sys.exit(f"I am dead: {refused}")
            if error.code not in (429, 500, 502, 503, 504) and refused.kind != "idempotency-conflict":
                raise refused
            trouble, pause = refused, int(error.headers.get("Retry-After") or 0)
        except (OSError, ValueError) as error:  # no connection, or half an answer
            trouble, pause = error, 0
        if attempt < attempts:
            time.sleep(pause or 0.25 * 2**attempt)
    sys.exit(f"The arena at {ARENA} does not answer as it should: {trouble}")


def attempt(what, path, body):
    """An action that the arena may refuse, which harms nobody: it says why, and the next turn comes."""
    try:
        print(f"{what} -> balance {call('POST', path, body)['new_balance']}", flush=True)
    except Refused as no:
        print(f"{what} -> {no.kind}: {no}", flush=True)


def enter(handle):
    """Registers once. The secret is shown this one time, so it is kept in a file."""
    kept = pathlib.Path(f"{handle}.secret")
    if not (secret := os.environ.get("ARENA_SECRET") or (kept.exists() and kept.read_text())):
        token = os.environ.get("REGISTRATION_TOKEN")
        request = {"handle": handle, **({"registration_token": token} if token else {})}
        secret = call("POST", "/bots", request)["api_secret"]
        with open(os.open(kept, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            file.write(secret)
        print(f"registered {handle}; its secret is in {kept}", flush=True)
    headers["X-Agent-Secret"] = secret.strip()


def wager(last_price):
    """Observes, and acts on that observation at once: it is good for five seconds."""
    observation = call("GET", "/arena/observation")
    direction = "DOWN" if Decimal(observation["price_snapshot"]) < Decimal(last_price) else "UP"
    action = {"observation_id": observation["observation_id"], "action_type": "PREDICT", "direction": direction,
              "wager_amount": "1.00", "confidence": "0.52", "reasoning": "the last move goes on"}
    attempt(f"wager 1.00 on {direction} from {observation['price_snapshot']}", "/arena/action", action)
    return observation["price_snapshot"]


def bet(market):
    """Your model goes here: a side, and how likely it is. This one knows that news repeat."""
    side = "YES" if market["source"] == "NEWS" else "NO"
    body = {"side": side, "stake": "2.00", "confidence": "0.55"}
    attempt(f"bet 2.00 on {side}: {market['description']}", f"/markets/{market['id']}/bets", body)


def research(market):
    """Looks the answer up where the question points to. Declaring the lookup costs a fee."""
    title = quote(market["criteria"]["article"].replace(" ", "_"), safe="")
    try:
        page = Request(f"{WIKIPEDIA}/api/rest_v1/page/summary/{title}", headers={"User-Agent": headers["User-Agent"]})
        with urlopen(page, timeout=15) as answer:
            body = {"answer": str(json.load(answer)["pageid"]), "used_lookup": True, "confidence": "0.95"}
    except (OSError, ValueError, KeyError):
        return  # no answer is better than a wrong one
    attempt(f"answer {body['answer']}: {market['description']}", f"/markets/{market['id']}/answers", body)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--handle", default="my-agent")
    parser.add_argument("--pause", type=int, default=30, help="seconds between turns (30)")
    parser.add_argument("--once", action="store_true", help="ends after one turn")
    parser.add_argument("--until-settled", action="store_true", help="ends when a bet was settled")
    options = parser.parse_args()
    enter(options.handle)
    price, tried, settled = "0", set(), False
    mine = {bet["market_id"] for bet in call("GET", "/bots/me")["open_bets"]}
    while True:
        price = wager(price)
        markets = call("GET", "/markets?taking_bets=true&limit=200")["items"]
        for act, choice in ((bet, [m for m in markets if m["source"] != "RESEARCH"]),
                            (research, [m for m in markets if m["source"] == "RESEARCH"])):
            for market in [m for m in choice if m["id"] not in tried | mine][:1]:
                tried.add(market["id"])
                act(market)
        me = call("GET", "/bots/me")
        still_open = {bet["market_id"] for bet in me["open_bets"]}
        for market in mine - still_open:
            bets = call("GET", f"/markets/{market}/bets?limit=200")["items"]
            for it in [it for it in bets if it["bot_id"] == me["id"]]:
                settled = True
                print(f"settled: bet on {it['side']} {it['status']}, stake {it['stake']}, payout {it['payout']}")
        mine = still_open
        print(f"{me['handle']} has {me['balance']} and {len(mine)} open bets", flush=True)
        if options.once or (options.until_settled and settled):
            return
        time.sleep(options.pause)


if __name__ == "__main__":
    try:
        main()
    except Refused as no:
        sys.exit(f"The arena refuses: {no}")
    except KeyboardInterrupt:
        sys.exit(130)
