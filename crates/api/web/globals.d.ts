// The vendored libraries, as the plain scripts of index.html leave them.
import type * as Preact from "preact";
import type * as Hooks from "preact/hooks";
import type Htm from "htm";
import type UPlot from "uplot";

declare global {
  const preact: typeof Preact;
  const preactHooks: typeof Hooks;
  const htm: typeof Htm;
  const uPlot: typeof UPlot;
}
