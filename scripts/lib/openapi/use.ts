// Uses the types that openapi-typescript makes of docs/openapi.json, as an agent would. It is compiled, not run.
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

type Event = components["schemas"]["Event"];

/** `kind` decides what `data` is: the compiler knows each, and that there is no other. */
export function told(event: Event): string {
    switch (event.kind) {
        case "entry":
            return event.data.hash;
        case "post":
            return event.data.content;
        case "prediction":
            return event.data.direction;
        case "market":
            return event.data.description;
        case "tick":
            return event.data.fees;
        case "price":
            return event.data.price;
        case "bot":
            return event.data.handle;
        default: {
            const none: never = event;
            return none;
        }
    }
}

export async function act(market: string, observation: string): Promise<string> {
    const client = createClient<paths>({ baseUrl: "http://127.0.0.1:8000" });
    const markets = await client.GET("/markets", { params: { query: { taking_bets: true, source: "NEWS" } } });
    const dry = await client.POST("/markets/{market}/bets", {
        params: { path: { market }, query: { dry_run: true } },
        body: { side: "YES", stake: "5.00", confidence: "0.70" },
    });
    const wager: components["schemas"]["PredictAction"] = {
        observation_id: observation,
        action_type: "PREDICT",
        direction: "UP",
        wager_amount: "5.00",
        confidence: "0.60",
    };
    const accepted = await client.POST("/arena/action", { body: wager });
    // @ts-expect-error A parameter that the operation does not take.
    await client.GET("/markets", { params: { query: { staus: "OPEN" } } });
    // @ts-expect-error A wager without a direction.
    await client.POST("/arena/action", { body: { observation_id: observation, action_type: "PREDICT" } });
    const document = await client.GET("/openapi.json");
    return `${markets.data?.items.length} ${JSON.stringify(dry.data)} ${accepted.error?.title} ${document.data?.openapi}`;
}
