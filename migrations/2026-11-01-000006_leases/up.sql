-- Who may do what only one may do at a time: the oracle. A row with an expiry and a fencing token,
-- never a session-level lock, so that a pooler in transaction mode works.
CREATE TABLE leases (
    name       text PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 100),
    holder     text NOT NULL CHECK (length(holder) BETWEEN 1 AND 100),
    -- Grows with each change of holder.
    token      bigint NOT NULL DEFAULT 1,
    expires_at timestamptz NOT NULL
);

-- When each hosted bot thinks next, and which runner has it.
CREATE TABLE bot_schedules (
    bot_id           bigint PRIMARY KEY REFERENCES bots (id),
    last_turn_at     timestamptz,
    next_turn_at     timestamptz NOT NULL,
    turns            bigint NOT NULL DEFAULT 0,
    lease_holder     text,
    lease_token      bigint NOT NULL DEFAULT 0,
    lease_expires_at timestamptz,
    -- What thinking cost on that day (UTC) in US dollars, with what is set aside for calls that run.
    llm_day          date,
    llm_usd          numeric(18,8) NOT NULL DEFAULT 0 CHECK (llm_usd >= 0)
);

-- Rate-limit cooldowns of sources, of prices and of markets, outside the process so that neither a
-- restart nor a second oracle breaks one.
CREATE TABLE source_cooldowns (
    source  text PRIMARY KEY CHECK (length(source) BETWEEN 1 AND 50),
    -- Rate-limit answers in a row.
    strikes integer NOT NULL CHECK (strikes >= 1),
    until   timestamptz NOT NULL
);

-- The oracle's own cycle counter, named in the reaper's references.
CREATE TABLE oracle_cycles (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    number    bigint NOT NULL
);
INSERT INTO oracle_cycles (number) VALUES (0);
