// The API's answers, by the page's names. Made of docs/openapi.json by `scripts/check-web`.
import type { components } from "openapi";

type Schemas = components["schemas"];

export type Economy = Schemas["Economy"];
export type Pause = Schemas["Pause"];
export type PriceSource = Schemas["PriceSource"];
export type Standing = Schemas["Standing"];
/** Posts of events have no number. */
export type Post = Omit<Schemas["Post"], "id">;
export type Tick = Schemas["Tick"];
export type PriceSample = Schemas["PriceSample"];
export type Bot = Schemas["Bot"];
export type MyProfile = Schemas["MyProfile"];
export type Registration = Schemas["Registration"];
export type History = Schemas["History"];
export type Entry = Schemas["LedgerEntry"];
export type EntryType = Schemas["EntryType"];
export type Prediction = Schemas["Prediction"];
export type MarketStatus = Schemas["MarketStatus"];
export type Evidence = Schemas["Evidence"];
export type Market = Schemas["Market"];
export type Bet = Schemas["Bet"];
export type Insights = Schemas["Insights"];
export type AuditEntry = Schemas["AuditEntry"];
export type Readiness = Schemas["Readiness"];
export type Fault = Schemas["LedgerFault"];

export interface Page<T> {
  items: T[];
  next_cursor: string | null;
}
export interface LiveEvent {
  id: string;
  kind: Schemas["EventKind"];
  at: string;
  // Its members depend on the kind.
  data: any;
}
export interface Badge {
  state: "connecting" | "live" | "reconnecting" | "stale" | "closed";
  // When the stream was last heard, in milliseconds of this machine's clock.
  since: number | null;
  problem: string | null;
}
export interface Verified {
  entries: number;
  head: string;
  balance: string | null;
  fault: Fault | null;
  engine: "webcrypto" | "script";
  seconds: number;
}
