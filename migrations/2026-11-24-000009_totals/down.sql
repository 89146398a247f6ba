DROP TABLE agent_windows;
DROP TABLE agent_totals;
