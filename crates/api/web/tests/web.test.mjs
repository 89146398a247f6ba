// The page in a browser, against the whole arena. One story after the other: they share an arena.
import "./stories-live.mjs";
import "./stories-markets.mjs";
import "./stories-people.mjs";
