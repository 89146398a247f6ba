import { html } from "../ui.js";
export function Join() {
  return html`<h1 tabindex="-1">Join</h1>`;
}
