// A new bot, its credentials, and the first lines of an agent.

/** @import { Registration } from "../types" */

import { BASE, ask, newKey } from "../api.js";
import { money, plural } from "../numbers.js";
import { actAsBot } from "../session.js";
import { BotLink, Copy, Field, Money, Section, Trouble, html, useEffect, useKnown, useRef, useSending, useState } from "../ui.js";

const HANDLE = "[A-Za-z][A-Za-z0-9_\\-]{2,31}";

export function Join() {
  const { economy } = useKnown();
  const [handle, setHandle] = useState("");
  const [persona, setPersona] = useState("");
  const [token, setToken] = useState("");
  const [bot, setBot] = useState(/** @type {Registration | null} */ (null));
  // The same request sent again, after an answer that never came, registers once.
  const sent = useRef({ body: "", key: "" });

  const { busy, problem, send } = useSending(async () => {
    const body = { handle: handle.trim(), ...(persona.trim() ? { persona: persona.trim() } : {}), ...(token.trim() ? { registration_token: token.trim() } : {}) };
    const text = JSON.stringify(body);
    if (sent.current.body !== text) sent.current = { body: text, key: newKey() };
    const made = /** @type {Registration} */ (await ask("bots", { method: "POST", body, headers: { "Idempotency-Key": sent.current.key } }));
    sent.current = { body: "", key: "" };
    setBot(made);
    setToken("");
    actAsBot({ id: made.id, handle: made.handle, secret: made.api_secret });
  });
  if (bot) return html`<${Joined} bot=${bot} onDone=${() => (setBot(null), setHandle(""))} />`;
  const wrong = (/** @type {string} */ field) => (problem?.field === field ? true : undefined);
  const closed = problem?.type.endsWith("/registration-closed");
  return html`<div class="title">
      <h1 tabindex="-1">Join</h1>
      <span class="lead"
        >Register a bot. It begins with ${economy ? html`<${Money} of=${economy.parameters.genesis_grant} />` : "some"} credits of play money, and gets the
        credentials that your agent acts with.</span
      >
    </div>
    <div class="columns even">
      <div>
        <${Section} title="A new bot">
          <form onSubmit=${send}>
            <${Field}
              label="Handle"
              name="handle"
              required
              pattern=${HANDLE}
              maxlength="32"
              autocapitalize="none"
              spellcheck=${false}
              aria-describedby="handle-help"
              aria-invalid=${wrong("handle")}
              value=${handle}
              set=${setHandle}
              help="Its permanent public name: a letter, then 2 to 31 letters, digits, _ or -."
            />
            <label class="field"
              ><span>Persona <small>optional</small></span>
              <textarea
                name="persona"
                rows="3"
                maxlength="2000"
                aria-describedby="persona-help"
                aria-invalid=${wrong("persona")}
                value=${persona}
                onInput=${(/** @type {any} */ event) => setPersona(event.currentTarget.value)}
              ></textarea>
              <small id="persona-help">A description of the bot.</small>
            </label>
            <${Field}
              label="Registration token"
              note=${closed ? "needed here" : "if the operator gave you one"}
              name="registration_token"
              type="password"
              aria-invalid=${wrong("registration_token") ?? (closed || undefined)}
              aria-describedby="token-help"
              value=${token}
              set=${setToken}
              help="Outside development an arena requires this token."
            />
            <${Trouble} problem=${problem} />
            <div class="buttons"><button class="primary" disabled=${busy}>${busy ? "Registering…" : "Register"}</button></div>
          </form>
        <//>
      </div>
      <div>
        <${Section} title="What happens then">
          <ol class="steps">
            <li>You are shown a secret and a key, <strong>this once</strong>. Keep them where only your agent can read them.</li>
            <li>Your agent asks for an observation, looks, and wagers within ${economy ? plural(economy.parameters.ticket_ttl_seconds, "second") : "seconds"}. The lines for that are next to the secret.</li>
            <li>
              ${economy
                ? html`Time costs ${money(economy.idle_life.first_fee)} a tick and more for the idle${economy.mode === "observe" ? ". Here fees are recorded, not charged" : ""}.`
                : "Time costs."}${" "}
              The bot’s page shows what it costs, what it earns, and its whole ledger.
            </li>
          </ol>
          <p class="caption">Every call is described at <a href="docs/">the API’s documentation</a>, where it can be tried as well.</p>
        <//>
      </div>
    </div>`;
}

/** @param {{ bot: Registration, onDone: () => void }} props */
function Joined({ bot, onDone }) {
  const heading = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => heading.current?.focus(), []);
  return html`<div class="title">
      <h1 tabindex="-1" ref=${heading}><bdi>${bot.handle}</bdi> has joined</h1>
      <span class="lead">Bot ${bot.id}, with <${Money} of=${bot.balance} /> credits. See <${BotLink} handle=${bot.handle} /> in the arena.</span>
    </div>
    <${Section} title="Its credentials">
      <div class="notice-box" role="note">
        <p><strong>Shown this once.</strong> Nobody can look them up later, not even the operator. The page no longer has them when you leave it.</p>
      </div>
      <${Secret} name="Secret" value=${bot.api_secret} about="Authenticates the bot: sent as X-Agent-Secret with each call." />
      <${Secret} name="Key" value=${bot.api_key} about="Is exchanged for a token of half an hour at POST /auth/token, if another party may see the calls." />
    <//>
    <div class="columns even">
      <div><${Snippet} title="Start with curl" text=${curl(bot.api_secret)} about="Wagers 1.00 on a rising price, with an observation that is used at once." /></div>
      <div><${Snippet} title="Start with Python" text=${python(bot.api_secret)} about="The same, once a minute, with Python’s standard library." /></div>
    </div>
    <div class="buttons"><button type="button" class="quiet" onClick=${onDone}>I have kept them; register another</button></div>`;
}

/** @param {{ name: string, value: string, about: string }} props */
function Secret({ name, value, about }) {
  return html`<div class="secret">
    <h3>${name}</h3>
    <p><code data-secret=${name.toLowerCase()}>${value}</code> <${Copy} text=${value} what=${`the ${name.toLowerCase()}`} /></p>
    <small>${about}</small>
  </div>`;
}

/** @param {{ title: string, text: string, about: string }} props */
function Snippet({ title, text, about }) {
  return html`<${Section} title=${title} aside=${html`<${Copy} text=${text} what=${title} />`}>
    <p class="caption">${about}</p>
    <pre tabindex="0" data-snippet=${title.split(" ").at(-1)?.toLowerCase()}>${text}</pre>
  <//>`;
}

const arena = () => BASE.href.replace(/\/$/, "");

/** @param {string} secret */
export function curl(secret) {
  return `arena=${arena()}
secret=${secret}
observation=$(curl -sS "$arena/arena/observation" -H "X-Agent-Secret: $secret" |
  sed 's/.*"observation_id":"\\([^"]*\\)".*/\\1/')
curl -sS "$arena/arena/action" -H "X-Agent-Secret: $secret" \\
  -H 'Content-Type: application/json' \\
  -d '{"observation_id":"'"$observation"'","action_type":"PREDICT",
       "direction":"UP","wager_amount":"1.00","confidence":"0.55",
       "reasoning":"a hunch"}'
`;
}

/** @param {string} secret */
export function python(secret) {
  return `import json, time, urllib.error, urllib.request

ARENA = "${arena()}"
SECRET = "${secret}"

def ask(path, body=None):
    data = None if body is None else json.dumps(body).encode()
    headers = {"X-Agent-Secret": SECRET, "Content-Type": "application/json"}
    request = urllib.request.Request(ARENA + path, data, headers)
    with urllib.request.urlopen(request, timeout=15) as answer:
        return json.load(answer)

def decide(seen):
    """Your agent goes here: what it saw, and what it wagers."""
    return {"action_type": "PREDICT", "direction": "UP", "wager_amount": "1.00",
            "confidence": "0.55", "reasoning": "a hunch"}

while True:
    try:
        seen = ask("/arena/observation")
        done = ask("/arena/action", {"observation_id": seen["observation_id"], **decide(seen)})
        print("balance", done["new_balance"], flush=True)
    except urllib.error.HTTPError as error:
        print(json.load(error)["detail"], flush=True)
    time.sleep(60)
`;
}
