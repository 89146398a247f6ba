//! Chains longer than a test could make by ticks.

/// Makes a new bot's chain so many entries long, with the hashes that they must have.
pub async fn lengthen(owner: &tokio_postgres::Client, bot: ledger_core::BotId, entries: i64) {
    use ledger_core::chain::{Head, seal};
    let row = owner
        .query_one(
            "SELECT hash, (extract(epoch FROM recorded_at) * 1000000)::bigint FROM ledger WHERE bot_id = $1",
            &[&bot.0],
        )
        .await
        .unwrap();
    let at = ledger_core::Timestamp::from_micros(row.get(1)).unwrap();
    let mut head = Head {
        bot_id: bot,
        sequence: 1,
        balance: "1000".parse().unwrap(),
        hash: ledger_core::Hash::from_slice(row.get(0)).unwrap(),
        recorded_at: Some(at),
    };
    let mut scratch = Vec::new();
    while head.sequence < entries {
        let (mut sequences, mut balances) = (Vec::new(), Vec::new());
        let (mut before, mut hashes) = (Vec::new(), Vec::new());
        while head.sequence < entries && sequences.len() < 100_000 {
            let posting = ledger_core::Posting {
                entry_type: ledger_core::EntryType::Heartbeat,
                amount: "-0.00000001".parse().unwrap(),
                reference: ledger_core::Reference::new("TICK:1").unwrap(),
            };
            let (entry, next) =
                seal(&head, ledger_core::BotStatus::Alive, posting, at, &mut scratch).unwrap();
            sequences.push(entry.sequence);
            balances.push(entry.balance_after.to_string());
            before.push(entry.previous_hash.0.to_vec());
            hashes.push(entry.hash.0.to_vec());
            head = next;
        }
        owner
            .execute(
                "INSERT INTO ledger SELECT $1, s, 'HEARTBEAT', -0.00000001, b::numeric, 'TICK:1', \
                        'epoch'::timestamptz + $2::bigint * interval '1 microsecond', p, h \
                   FROM UNNEST($3::bigint[], $4::text[], $5::bytea[], $6::bytea[]) AS n (s, b, p, h)",
                &[
                    &bot.0,
                    &at.micros(),
                    &sequences,
                    &balances,
                    &before,
                    &hashes,
                ],
            )
            .await
            .unwrap();
    }
    owner
        .execute(
            "UPDATE wallets SET sequence = $2, balance = $3::text::numeric, head_hash = $4 WHERE bot_id = $1",
            &[&bot.0, &head.sequence, &head.balance.to_string(), &head.hash.0.to_vec()],
        )
        .await
        .unwrap();
}
