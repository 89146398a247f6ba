import { html } from "../ui.js";
export function BotPage() {
  return html`<h1 tabindex="-1">BotPage</h1>`;
}
