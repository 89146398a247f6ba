import { html } from "../ui.js";
export function Operator() {
  return html`<h1 tabindex="-1">Operator</h1>`;
}
