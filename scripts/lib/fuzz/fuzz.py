"""The fuzzer's run against the arena that `with-arena` has started.

fuzz.py TOOLS REPORT BIN CASES_MIN: registers bots to act for, has schemathesis ask by the contract, sums up
what was answered, audits the ledger and reads the services' logs; exit 1 when any of it is not well.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request

TOOLS, REPORT, BIN, CASES_MIN = sys.argv[1:]
HERE = pathlib.Path(__file__).parent
API = os.environ["ARENA_API"]
SEED = os.environ.get("SEED") or "1"
SECONDS = os.environ.get("FUZZ_SECONDS") or "180"
# A slow machine asks for longer, not less.
ROUNDS_MAX = 4
STATUSES = pathlib.Path(REPORT, "statuses.json")
HANDLE = "fuzzer"
# Bots that have staked all they had: the next tick takes them.
DEAD = 60


def ask(method, path, body=None, **headers):
    data = None if body is None else json.dumps(body).encode()
    headers["Content-Type"] = "application/json"
    request = urllib.request.Request(API + path, data, headers, method=method)
    return json.load(urllib.request.urlopen(request, timeout=10))


def until(look):
    """What `look` finds, within a minute."""
    for _ in range(300):
        try:
            if found := look():
                return found
        except urllib.error.HTTPError as error:
            if error.code != 503:
                raise
        time.sleep(0.2)
    raise SystemExit("fuzz-api: the arena did not come to it within a minute")


def register(handle):
    return ask("POST", "/bots", {"handle": handle})


def ruin(number):
    bot = register(f"gambler-{number}")
    secret = {"X-Agent-Secret": bot["api_secret"]}
    seen = until(lambda: ask("GET", "/arena/observation", **secret))
    wager = {"action_type": "PREDICT", "direction": "UP", "confidence": "0.99", "wager_amount": bot["balance"]}
    ask("POST", "/arena/action", wager | {"observation_id": seen["observation_id"]}, **secret)
    return bot["id"]


def credentials():
    """The environment of the hooks: a bot to act for, and what they need of the arena."""
    bot = register(HANDLE)
    dead = [ruin(number) for number in range(DEAD)]
    until(lambda: ask("GET", f"/bots/{dead[-1]}")["status"] == "DEAD")
    told = {"API": API, "HANDLE": HANDLE, "HOOKS": HERE / "hooks.py",
            "STATUSES": STATUSES, "OPERATOR": os.environ["ARENA_OPERATOR"],
            "BOT": bot["id"], "KEY": bot["api_key"], "SECRET": bot["api_secret"],
            "DEAD": " ".join(map(str, dead))}
    return {f"FUZZ_{name}": str(value) for name, value in told.items()}


def cases():
    counts = json.loads(STATUSES.read_text(encoding="utf-8")) if STATUSES.exists() else {}
    return sum(sum(by_status.values()) for by_status in counts.values())


def rounds(told):
    """Asks until there are enough cases, and whether all rounds were well; one that is not is the last."""
    for seed in range(int(SEED), int(SEED) + ROUNDS_MAX):
        if not schemathesis(told, seed):
            return False
        if cases() >= int(CASES_MIN):
            break
    return True


def schemathesis(told, seed):
    # All checks but one: DELETE retires a bot permanently, but its profile and its chain stay, so that anyone
    # can audit them. One worker: the same seed then asks much the same.
    command = [f"{TOOLS}/bin/schemathesis", "--config-file", HERE / "schemathesis.toml", "run", f"{API}/openapi.json",
               "--checks", "all", "--exclude-checks", "use_after_free", "--seed", str(seed), "--max-time", SECONDS,
               "--workers", "1", "--report", "junit", "--report-dir", REPORT]
    # A token of this round: it expires after half an hour.
    login = {"bot_id": int(told["FUZZ_BOT"]), "api_key": told["FUZZ_KEY"]}
    told = told | {"FUZZ_SEED": str(seed), "FUZZ_TOKEN": ask("POST", "/auth/token", login)["access_token"]}
    log = pathlib.Path(REPORT, "schemathesis.log")
    with open(log, "w", encoding="utf-8") as out:
        ran = subprocess.run(command, env=os.environ | told, stdout=out, stderr=subprocess.STDOUT, check=False)
    print("\n".join(log.read_text(encoding="utf-8").splitlines()[-60:]), flush=True)
    return ran.returncode == 0


def succeeds(*command):
    return subprocess.run(command, check=False).returncode == 0


def logs_are_clean():
    clean = True
    for log in sorted(pathlib.Path(os.environ["ARENA_DATA_DIR"], "logs").glob("*.log")):
        shutil.copy(log, REPORT)
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        errors = [line for line in lines if '"level":"ERROR"' in line or " ERROR " in line]
        if errors:
            clean = False
            print(f"fuzz-api: {log.name} has errors:", *errors[:5], sep="\n", file=sys.stderr)
    return clean


def main():
    results = [
        rounds(credentials()),
        succeeds(sys.executable, HERE / "summary.py", STATUSES, CASES_MIN),
        succeeds(f"{BIN}/arenactl", "inspect-ledger"),
        logs_are_clean(),
    ]
    if all(results):
        print("fuzz-api: all answers kept the contract")
        return 0
    print(f"fuzz-api: failed; see {REPORT}", file=sys.stderr)
    return 1


sys.exit(main())
