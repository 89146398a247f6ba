import { html } from "../ui.js";
export function Board() {
  return html`<h1 tabindex="-1">Markets</h1>`;
}
export function MarketPage() {
  return html`<h1 tabindex="-1">Market</h1>`;
}
